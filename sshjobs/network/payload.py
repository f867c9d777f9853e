"""What starts the far side: one constant remote command, and what is written to its standard input."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources

from sshjobs.errors import UsageError
from sshjobs.gjob import ship
from sshjobs.gjob.ship import bootstrap_code as bootstrap_code
from sshjobs.gjob.ship import pack as pack

#: The modules of gjob that front, agent and runners consist of. Its verbs stay at home.
CORE = ("adopt", "agent", "attempts", "blobs", "cache", "cgroup", "crew", "door", "facts", "front", "journal", "kill",
        "lease", "light", "link", "loop", "oom", "outputs", "places", "pool", "procs", "room", "rubbish", "runner",
        "start", "talk", "wire")

_PYTHON = re.compile(r"~?[A-Za-z0-9_./+-]+")
#: Modules that only the gjob command needs: they do not travel with the agent.
_COMMAND_ONLY = ("ship", "verbs")


def remote_command(python: str | None) -> str:
    """Return the remote command. It is constant but for the interpreter, and means the same to every login shell.

    :param python: name or path of the interpreter on the host; ``None`` is ``python3``
    :raises UsageError: a name that a shell could take for something else
    """
    if python is not None and not _PYTHON.fullmatch(python):
        raise UsageError("the name of the interpreter cannot be used", where=f"python={python}",
                         why="letters, digits and ./_+- only", hint="name a path without other characters")
    return f'exec {python or "python3"} -ISc "{bootstrap_code()}"'


@cache
def sources() -> Mapping[str, str]:
    """Return the modules that travel, by name, as source text."""
    found = {"sshjobs": ""}
    for entry in resources.files("sshjobs.gjob").iterdir():
        if entry.name.endswith(".py") and not entry.name.startswith(_COMMAND_ONLY):
            name = "" if entry.name == "__init__.py" else "." + entry.name[:-3]
            found[f"sshjobs.gjob{name}"] = entry.read_text(encoding="utf-8")
    return found


@cache
def _packed() -> str:
    return pack(sources())


def first_stage(nonce: str, packed: str | None = None) -> bytes:
    """Return everything that is written to standard input before the marker is seen.

    :param nonce: 32 hex digits; the marker carries them
    :param packed: other modules than those of this package, from :func:`pack`
    """
    return ship.first_stage(nonce, "sshjobs.gjob.front", _packed() if packed is None else packed)
