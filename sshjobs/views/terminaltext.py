"""What a program wrote for a terminal, as the lines that a terminal would show: harmless to ours.

A progress bar that writes over itself (``\\r``, ``\\b``, ``ESC [ K``) becomes its last state. Colours (``ESC [ … m``)
stay where they are wanted. Every other whole sequence of a terminal's language (the cursor elsewhere, titles, links,
the alternate screen) is left out; a character that a terminal could obey and that belongs to none is shown escaped, as
``\\x1b``.
"""

from __future__ import annotations

import codecs
import re

from sshjobs.errors import HIDDEN

#: Longest line that is put together, in characters: of a longer one its pieces are shown as they come.
MAX_CELLS = 1 << 16
#: Longest sequence that counts as one, in characters.
_MAX_SEQUENCE = 4096
_RESET = "\x1b[0m"

# What our terminal could obey or nobody would see, but for line ends, tabs and what chooses the look of an emoji.
_OBEYED = re.compile(rf"(?!\t|\n|[\ufe0e\ufe0f]){HIDDEN}")
# What makes a line more than its characters.
_MOVES = re.compile("[\x08\x1b]|\r(?!\n)")
_SEQUENCE = re.compile(
    r"\x1b(?:\[(?P<csi>[0-?]{0,64})[ -/]{0,4}(?P<end>[@-~])"
    # Titles, links, images: texts between an introducer and BEL or ESC \.
    rf"|[\]PX^_][^\x07\x1b\n]{{0,{_MAX_SEQUENCE}}}(?:\x07|\x1b\\)"
    r"|[ -/]{1,4}[0-~]|[0-9:-OQ-WYZ`-~])")
# The beginning of one, of which more may come.
_BEGUN = re.compile(
    rf"\x1b(?:\[[0-?]{{0,64}}[ -/]{{0,4}}|[\]PX^_][^\x07\x1b\n]{{0,{_MAX_SEQUENCE}}}\x1b?|[ -/]{{0,4}})?\Z")
#: What may stand for a colour.
_GIVEN = re.compile("[0-9]+(?:[;:][0-9]*)*")
_TOKEN = re.compile(r"\x1b|[\r\b\n]|[^\x1b\r\b\n]+")
#: What the numbers of a colour sequence are about: a later one replaces an earlier one. Hidden text (8) is no colour.
_ABOUT = {
    **dict.fromkeys((*range(30, 39), *range(90, 98)), "ink"),
    **dict.fromkeys((*range(40, 49), *range(100, 108)), "paper"),
    1: "bold", 2: "faint", 3: "italic", 4: "line", 5: "blink", 6: "blink", 7: "turned", 9: "struck", 21: "line",
    53: "over"}
_ENDS = {22: ("bold", "faint"), 23: ("italic",), 24: ("line",), 25: ("blink",), 27: ("turned",), 29: ("struck",),
         39: ("ink",), 49: ("paper",), 55: ("over",)}
#: How many numbers follow 38 or 48, by the first of them.
_OPERANDS = {"5": 2, "2": 4}


def escaped(text: str) -> str:
    """Return a text in which a terminal finds nothing to obey but line ends and tabs."""
    return _OBEYED.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


class TerminalText:
    """Bytes in, harmless text out, line by line. Memory is bounded, however long a line is.

    :param colours: keep them
    """

    def __init__(self, *, colours: bool):
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._colours, self._held = colours, ""
        #: The line that has begun: each character with its style, where the next one goes, and what colours it has.
        self._cells: list[tuple[str, str]] = []
        self._cursor, self._dress = 0, dict[str, str]()

    def feed(self, data: bytes, *, final: bool = False) -> str:
        """Return the lines that are whole now, each with its end; ``final``: also what has only begun."""
        text = self._held + self._decoder.decode(data, final)
        self._held = ""
        if not final:
            # What comes next says what it is.
            begun = _BEGUN.search(text, max(0, len(text) - _MAX_SEQUENCE - 8))
            end = begun.start() if begun else len(text) - text.endswith("\r")
            text, self._held = text[:end], text[end:]
        out: list[str] = []
        if self._cells:
            end = text.find("\n") + 1 or len(text)
            self._take(text[:end], out)
            text = text[end:]
        if not self._dress and not _MOVES.search(text):
            # As nearly all output is: whole lines as they are.
            end = text.rfind("\n") + 1
            out.append(escaped(text[:end].replace("\r\n", "\n")))
            text = text[end:]
        self._take(text, out)
        if final:
            out.append(self.pending())
            self._cells, self._cursor, self._dress = [], 0, {}
        return "".join(out)

    def pending(self, most: int = MAX_CELLS) -> str:
        """Return the line that has only begun, as it stands; no colour goes beyond it.

        :param most: only so many of its characters
        """
        out, worn = list[str](), ""
        for text, style in self._cells[:most]:
            if style != worn:
                out.append((_RESET if worn else "") + style)
                worn = style
            out.append(text)
        return "".join(out) + (_RESET if worn else "")

    def _take(self, text: str, out: list[str]) -> None:
        place = 0
        while found := _TOKEN.match(text, place):
            token, place = found[0], found.end()
            if token == "\n":
                self._end(out, "\n")
            elif token == "\r":
                self._cursor = 0
            elif token == "\b":
                self._cursor = max(0, self._cursor - 1)
            elif token != "\x1b":
                self._put(token, out)
            elif sequence := _SEQUENCE.match(text, place - 1):
                place = sequence.end()
                if sequence["end"]:
                    self._obey(sequence["csi"], sequence["end"])
            else:
                self._put(token, out)

    def _put(self, text: str, out: list[str]) -> None:
        style = "".join(f"\x1b[{given}m" for given in self._dress.values())
        odd = _OBEYED.search(text) is not None
        for start in range(0, len(text), MAX_CELLS):
            piece = [(escaped(letter) if odd else letter, style) for letter in text[start:start + MAX_CELLS]]
            self._cells[self._cursor:self._cursor + len(piece)] = piece
            self._cursor += len(piece)
            if len(self._cells) >= MAX_CELLS:
                self._end(out, "")

    def _end(self, out: list[str], end: str) -> None:
        out.append(self.pending(len(self._cells)) + end)
        self._cells, self._cursor = [], 0

    def _obey(self, given: str, end: str) -> None:
        """Do within the line what a sequence says; all that leads elsewhere is left out."""
        number = int(given) if given.isascii() and given.isdigit() and len(given) < 7 else 0
        if end == "m":
            if not given.startswith(("<", "=", ">", "?")):
                self._colour(given.split(";"))
        elif end == "K" and number == 0:
            del self._cells[self._cursor:]
        elif end == "K":
            kept = [] if number == 2 else self._cells[self._cursor:]
            self._cells = [(" ", "")] * self._cursor + kept
        elif end in "CDG":
            to = {"C": self._cursor + max(1, number), "D": self._cursor - max(1, number), "G": number - 1}[end]
            self._cursor = min(max(0, to), len(self._cells))

    def _colour(self, numbers: list[str]) -> None:
        """Take over what a sequence says of colours."""
        place = 0
        while self._colours and place < len(numbers):
            given = numbers[place]
            first = given.partition(":")[0]
            number = int(first) if first.isdigit() and len(first) < 4 else 0 if not first else -1
            place += 1
            if number in (38, 48, 58) and ":" not in given:
                width = _OPERANDS.get(numbers[place] if place < len(numbers) else "", 0)
                given = ";".join([given, *numbers[place:place + width]])
                place += width
            if number == 0:
                self._dress = {}
            elif number in _ENDS:
                for about in _ENDS[number]:
                    self._dress.pop(about, None)
            elif (what := _ABOUT.get(number)) is not None and len(given) < 40 and _GIVEN.fullmatch(given):
                self._dress = {**self._dress, what: given}
