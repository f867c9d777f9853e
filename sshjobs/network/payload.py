"""What starts the far side: one constant remote command, and what is written to its standard input."""

from __future__ import annotations

import importlib.util
import marshal
import re
import sys
import zlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import CodeType

from sshjobs import gjob
from sshjobs.errors import LocalError, UsageError
from sshjobs.gjob import ship
from sshjobs.gjob.ship import HURRY
from sshjobs.gjob.ship import bootstrap_code as bootstrap_code
from sshjobs.gjob.ship import pack as pack

#: How hard the code is compressed (zlib): for hosts far away, where each byte takes time, and for near ones, where the
#: CPU of this machine takes more.
_SMALL, _QUICK = 6, 1
_FRONT = "sshjobs.gjob.agent.front"
#: A docstring as ours stand: it begins on a line of its own.
_DOCSTRING = re.compile(r'^( *)"""(.*?)"""$', re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"^ *#.*$", re.MULTILINE)
_PYTHON = re.compile(r"~?[A-Za-z0-9_./+-]+")
#: What only the gjob command needs: it does not travel with the agent.
_COMMAND_ONLY = ("ship.py", "verbs")
#: Modules that few runs need: they travel as source only, which a host compiles when it comes to that.
SELDOM = frozenset(f"sshjobs.gjob.{name}" for name in (
    "agent.adopt", "agent.batches", "agent.cache", "agent.element", "agent.gpus", "agent.gputools", "agent.handout",
    "agent.inarray", "agent.probe", "agent.pulls", "agent.scheduler", "agent.walk", "agent.xids", "calls", "headtail",
    "patterns", "unstartable"))


def remote_command(python: str | None) -> str:
    """Return the remote command. It is constant but for the interpreter, and means the same to every login shell.

    :param python: name or path of the interpreter on the host; ``None`` is ``python3``
    :raises UsageError: a name that a shell could take for something else
    """
    _check_python(python)
    return f'exec {python or "python3"} -ISc "{bootstrap_code()}"'


def _check_python(python: str | None) -> None:
    if python is not None and not _PYTHON.fullmatch(python):
        raise UsageError("the name of the interpreter cannot be used", where=f"python={python}",
                         why="letters, digits and ./_+- only", hint="name a path without other characters")


def remote_call(python: str | None, module: str, word: bytes) -> list[str]:
    """Return the program and arguments that call ``main(word)`` of a module of the far side which imports none of ours.
    Its standard input stays free. Whatever is in the word: no argument holds anything that a shell could take for
    something else.

    :raises UsageError: as :func:`remote_command`
    """
    _check_python(python)
    code = without_docstrings(ship.sources(module)[f"sshjobs.gjob.{module}"]) + "\nmain(sys.argv[2])\n"
    return [python or "python3", "-ISc", "import sys;exec(bytes.fromhex(sys.argv[1]).decode())",
            code.encode("utf-8").hex(), word.hex()]


@cache
def sources() -> Mapping[str, str]:
    """Return the modules that travel, by name, as source text."""
    return {"sshjobs": "", **_sources_in("sshjobs.gjob", Path(gjob.__path__[0]))}


def _sources_in(package: str, directory: Path) -> dict[str, str]:
    found = {}
    for entry in directory.iterdir():
        if entry.name in _COMMAND_ONLY:
            continue
        if entry.name.endswith(".py"):
            name = package if entry.name == "__init__.py" else f"{package}.{entry.name[:-3]}"
            found[name] = entry.read_text(encoding="utf-8")
        elif entry.joinpath("__init__.py").is_file():
            found.update(_sources_in(f"{package}.{entry.name}", entry))
    return found


@cache
def _packed(level: int) -> bytes:
    """Return the sources. Near hosts get them as they are: leaving texts out takes longer than sending them."""
    texts = sources() if level == _QUICK else {name: without_docstrings(text) for name, text in sources().items()}
    return pack(texts, level)


def without_docstrings(text: str) -> str:
    """Return source text with empty docstrings and no comments, every line in its place: less to send, to compile."""
    return _COMMENT.sub("", _DOCSTRING.sub(lambda found: f'{found[1]}""' + "\n" * found[2].count("\n"), text))


def _docstrings(text: str) -> set[str]:
    """Return the docstrings of a source text, four times as fast as a pattern finds them."""
    parts = text.split('"""')
    return {parts[at] for at in range(1, len(parts), 2)
            if not parts[at - 1].rpartition("\n")[2].strip() and parts[at + 1][:1] in ("", "\n")}


#: Names the Python of this process as the first stage's ``this_python`` does on a host.
THIS_PYTHON = f"{sys.implementation.cache_tag} {importlib.util.MAGIC_NUMBER!r}"


@cache
def compiled() -> bytes:
    """Return those of these modules that every run needs as code, for hosts that have the very Python of this process
    (to its minor version): they need not compile, which is a third of what a host does for a short job. Each is
    compressed by itself, as a host unpacks what it loads and no more."""
    codes = {}
    for name, text in sources().items():
        if name in SELDOM:
            continue
        spec = importlib.util.find_spec(name)
        # Not what has no code, and not what was loaded by something that does not tell it.
        get_code = getattr(spec.loader if spec is not None else None, "get_code", None)
        code = compile("", name, "exec") if name == "sshjobs" else get_code(name) if get_code is not None else None
        if code is not None:
            file = name.replace(".", "/") + ".py"
            codes[name] = zlib.compress(marshal.dumps(_for_hosts(code, file, _docstrings(text))), _QUICK)
    return marshal.dumps(codes)


def _for_hosts(code: CodeType, filename: str, docstrings: set[str]) -> CodeType:
    """Return code with the name that its file has there, which messages show, and with empty docstrings."""
    consts = tuple(_for_hosts(one, filename, docstrings) if isinstance(one, CodeType) else
                   "" if isinstance(one, str) and one in docstrings else one for one in code.co_consts)
    return code.replace(co_filename=filename, co_consts=consts)


def first_stage(nonce: str, packed: bytes | None = None, hello: bytes = b"", *, near: bool = False,
                hurry: bool = False) -> bytes:
    """Return everything that is written to standard input before the marker is seen.

    :param nonce: 32 hex digits; the marker carries them
    :param packed: other modules than those of this package, from :func:`pack`
    :param hello: that frame; without it the host waits for it behind the marker
    :param near: send compiled code too: 370 KiB more, against 15 ms of the host's CPU where it is of use
    :param hurry: the agent begins as soon as it has come, and waits for no word of ours: a way there and back less
    :raises LocalError: the code cannot be read from this machine's disk
    """
    given = [hello.decode("ascii"), *([HURRY] if hurry else [])]
    try:
        if packed is not None or not near:
            return ship.first_stage(nonce, _FRONT, _packed(_SMALL) if packed is None else packed, given)
        return ship.first_stage(nonce, _FRONT, _packed(_QUICK), given, THIS_PYTHON, compiled())
    except OSError as error:
        raise LocalError.of(error, "the agent's code cannot be read on this machine") from error
