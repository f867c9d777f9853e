"""What a shell completes: commands, options, names of runs, jobs and hosts, and file names where none of these belong.

A name is put into the line as one word, whatever it is made of: a job called ``$(x)`` runs nothing.
"""

from __future__ import annotations

import os
import re

from click import Command
from click.shell_completion import CompletionItem, ShellComplete, add_completion_class

from sshjobs.errors import HIDDEN, SshjobsError

#: Shells that can complete.
SHELLS = ("bash", "zsh", "fish")

_BASH = r"""# sshjobs: completion for bash.
%(complete_func)s() {
    local kind value
    COMPREPLY=()
    while IFS=$'\t' read -r kind value; do
        case $kind in
        word) COMPREPLY+=("$value") ;;
        file) compopt -o default 2>/dev/null ;;
        esac
    done < <(COMP_TEXT="${COMP_LINE:0:COMP_POINT}" COMP_BREAKS=$COMP_WORDBREAKS \
        %(complete_var)s=bash_complete "$1" 2>/dev/null)
}
complete -o nosort -F %(complete_func)s %(prog_name)s 2>/dev/null || complete -F %(complete_func)s %(prog_name)s
"""

_ZSH = r"""#compdef %(prog_name)s
# sshjobs: completion for zsh.
%(complete_func)s() {
    local line kind rest files
    local -a values shown
    for line in "${(@f)$(COMP_TEXT="${(pj:\n:)${(@Q)words[1,CURRENT-1]}}" COMP_LAST="${(Q)PREFIX}" \
            %(complete_var)s=zsh_complete %(prog_name)s 2>/dev/null)}"; do
        kind=${line%%%%$'\t'*}
        rest=${line#*$'\t'}
        case $kind in
        word)
            values+=("${rest%%%%$'\t'*}")
            shown+=("${rest%%%%$'\t'*}${${rest#*$'\t'}:+  (${rest#*$'\t'})}") ;;
        file) files=1 ;;
        esac
    done
    (( $#values )) && compadd -l -V sshjobs -d shown -a values
    [[ -n $files ]] && _files
    return 0
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    %(complete_func)s "$@"
else
    compdef %(complete_func)s %(prog_name)s
fi
"""

_FISH = r"""# sshjobs: completion for fish.
function %(complete_func)s
    set -l text (string join \n -- (commandline -opc) | string collect)
    set -l last (commandline -ct | string collect)
    for line in (env COMP_TEXT=$text COMP_LAST=$last %(complete_var)s=fish_complete %(prog_name)s 2>/dev/null)
        set -l parts (string split -m 1 \t -- $line)
        switch $parts[1]
            case word
                printf '%%s\n' $parts[2]
            case file
                __fish_complete_path $last
        end
    end
end
complete --no-files --command %(prog_name)s --arguments "(%(complete_func)s)"
"""


class _Ours(ShellComplete):
    """A shell that is told one candidate a line: its kind, the word, and what there is to say of it, with tabs between.

    The words of the line come one a line in ``COMP_TEXT``, without quotes; the one to be completed in ``COMP_LAST``.
    """

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        try:
            found = super().get_completions(args, incomplete)
        except (SshjobsError, OSError):
            found = []
        # Of this type, a shell looks for files itself.
        return found or [CompletionItem(incomplete, type="file")]

    #: What stands before the value in a word such as ``--name=value``.
    before = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        return self.split(os.environ.get("COMP_TEXT", "").split("\n")[1:], self.last().text)

    def last(self) -> Word:
        """Return the word that is to be completed."""
        return Word.read(os.environ.get("COMP_LAST", ""))

    def split(self, words: list[str], last: str) -> tuple[list[str], str]:
        """Take note of what stands before a value in the last word."""
        if last.startswith("--") and "=" in last:
            self.before = last[:last.index("=") + 1]
        return words, last

    def format_completion(self, item: CompletionItem) -> str:
        if item.type != "plain":
            return f"{item.type}\t"
        return f"word\t{self.before}{item.value}\t{re.sub(HIDDEN, ' ', item.help or '')}"

    def complete(self) -> str:
        args, incomplete = self.get_completion_args()
        lines = map(self.format_completion, self.get_completions(args, incomplete))
        return "\n".join(line for line in lines if line)


class Zsh(_Ours):
    """zsh quotes what it puts into the line itself."""

    name, source_template = "zsh", _ZSH

    def last(self) -> Word:
        text = os.environ.get("COMP_LAST", "")
        return Word(text, text, "")


class Fish(_Ours):
    """fish quotes what it puts into the line itself."""

    name, source_template = "fish", _FISH


class Bash(_Ours):
    """bash takes what it is given as it is, from the last character on that breaks words for readline."""

    name, source_template = "bash", _BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        words = split_line(os.environ.get("COMP_TEXT", ""))
        self._last = words.pop()
        return self.split([word.text for word in words[1:]], self._last.text)

    def format_completion(self, item: CompletionItem) -> str:
        if item.type != "plain":
            return f"{item.type}\t"
        word = self._last.completed(self.before + item.value, os.environ.get("COMP_BREAKS", ""))
        return "" if word is None else f"word\t{word}"


class Word:
    """A word of a line of shell as far as it was typed.

    :ivar raw: as it was typed
    :ivar text: what the shell makes of it
    :ivar quote: the quotation mark that is still open at its end
    """

    def __init__(self, raw: str, text: str, quote: str):
        self.raw, self.text, self.quote = raw, text, quote

    @staticmethod
    def read(raw: str) -> Word:
        """Return a word that was typed."""
        return split_line(raw)[-1]

    def completed(self, value: str, breaks: str) -> str | None:
        """Return what bash is to put in the place of the word, so that it means a value; ``None`` where it cannot.

        :param breaks: characters at which readline begins a further word of its own
        """
        if self.quote:
            # Readline replaces what stands behind the mark, and puts the second one there.
            if not self.raw.startswith(self.quote) or self.quote in self.raw[1:]:
                return None
            if self.quote == "'":
                return None if "'" in value else value
            return None if "!" in value else re.sub(r'([$`"\\])', r"\\\1", value)
        quoted = re.sub(r"([^\w@%+=:,./-])", r"\\\1", value)
        begun = max((n + 1 for n, letter in enumerate(self.raw)
                     if letter in breaks and letter not in "\"'" and (n == 0 or self.raw[n - 1] != "\\")), default=0)
        return quoted[begun:] if quoted.startswith(self.raw[:begun]) else None


def split_line(line: str) -> list[Word]:
    """Return the words of the beginning of a line of shell; the last one is that which is being typed, maybe empty."""
    words, raw, text, quote = list[Word](), "", "", ""
    place = 0
    while place < len(line):
        letter = line[place]
        if letter == "\\" and quote != "'" and place + 1 < len(line):
            place += 1
            following = line[place]
            text += following if not quote or following in '$`"\\' else letter + following
            raw += letter + following
        elif quote and letter == quote:
            quote, raw = "", raw + letter
        elif not quote and letter in "\"'":
            quote, raw = letter, raw + letter
        elif not quote and letter in " \t\n":
            if raw:
                words.append(Word(raw, text, ""))
            raw = text = ""
        else:
            raw, text = raw + letter, text + letter
        place += 1
    return [*words, Word(raw, text, quote)]


CLASSES: dict[str, type[_Ours]] = {"bash": Bash, "zsh": Zsh, "fish": Fish}


def script(shell: str) -> str:
    """Return what a shell has to read once, so that it completes."""
    return CLASSES[shell](Command("sshjobs"), {}, "sshjobs", "_SSHJOBS_COMPLETE").source()


def prepare() -> None:
    """Have click ask our classes."""
    for kind in CLASSES.values():
        add_completion_class(kind)
