"""What a page of the documentation holds for a test: files to write, commands with their output, Python to run.

The conventions, the same for README.md and every page under docs/:

- A block ``console`` holds commands, each after ``$ ``, with continuation lines after ``> ``, and below each command
  what it prints. ``...`` stands for any text within a line; alone on a line, for any number of lines.
- A block of another kind right after a line that ends with a file name (```jobs.yaml`:``) is that file.
- A block ``python`` that is no file is run as it stands.
- A block ``text`` is only looked at. There is no other kind of block for commands: none can escape.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,}|:{3,})(?P<info>.*)$")
_NAMES_A_FILE = re.compile(r"`(?P<name>[\w.-][\w./-]*)`:$")
#: Kinds that show commands elsewhere; here they would be commands that no test runs.
ESCAPES = {"bash", "sh", "shell", "zsh", "shell-session", "terminal"}


@dataclass(frozen=True)
class Block:
    """A fenced block: ``info`` is what stands after the fence, ``before`` the last line of text above it."""

    info: str
    text: str
    before: str
    line: int
    indented: bool

    @property
    def file(self) -> str | None:
        """The name of the file that the block is, if it is one."""
        named = _NAMES_A_FILE.search(self.before)
        return named["name"] if named and self.info not in ("console", "text") else None


@dataclass(frozen=True)
class Command:
    """A command and the lines that the page says it prints."""

    text: str
    output: list[str]
    line: int


def blocks(text: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page in order."""
    lines, before, at = text.splitlines(), "", 0
    while at < len(lines):
        opened = _FENCE.match(lines[at])
        if opened is None:
            before = lines[at].strip() or before
            at += 1
            continue
        start, fence = at + 1, opened["fence"]
        at = start
        while at < len(lines) and not (lines[at].strip().startswith(fence) and not lines[at].strip().strip(fence[0])):
            at += 1
        body = "".join(f"{line}\n" for line in lines[start:at])
        yield Block(opened["info"].strip(), body, before, start, bool(opened["indent"]))
        before = ""
        at += 1


def commands(block: Block) -> list[Command]:
    """Return the commands of a ``console`` block.

    :raises ValueError: it starts with something else than a command
    """
    found: list[Command] = []
    for number, line in enumerate(block.text.splitlines(), block.line + 1):
        if line.startswith("$ "):
            found.append(Command(line[2:], [], number))
        elif not found:
            raise ValueError(f"line {number}: output before any command")
        elif line.startswith("> ") and not found[-1].output:
            found[-1] = Command(f"{found[-1].text}\n{line[2:]}", [], found[-1].line)
        else:
            found[-1].output.append(line)
    return found


def pages(root: Path) -> list[Path]:
    """Return README.md and every page under docs/, without the decisions (they hold no commands)."""
    return [root / "README.md", *sorted((root / "docs").glob("*.md"))]
