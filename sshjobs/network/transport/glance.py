"""Where connections lead, as far as the user's configuration of ssh says so plainly.

``ssh -G`` knows it exactly, but is a process for each host. Most configurations name hosts and addresses, and no way
through others: what those say is read here, and for everything else ssh is asked.
"""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from sshjobs.model.host import Host, login_of

#: What ssh reads when no file is named, and where it looks for what a file includes by a relative name.
USUAL = (("~/.ssh/config", "~/.ssh"), ("/etc/ssh/ssh_config", "/etc/ssh"))
_MAX_DEPTH = 16
_LINE = re.compile(r"\s*([A-Za-z]\w*)(?:\s*=\s*|\s+)(.*?)\s*$")
#: These may lead a connection through another machine or give it another name, depending on what only ssh knows.
_INTRICATE = ("proxyjump", "proxycommand", "match", "canonicalizehostname")
#: A value with one of these is more than its words.
_SPECIAL = re.compile(r"[\"'\\$#\[]")
#: Addresses of loopback, of private networks, and of the same link.
_NEAR_ADDRESS = re.compile(r"127\.|10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|169\.254\."
                           r"|::1$|f[cd][0-9a-f]{2}:|fe[89ab][0-9a-f]:")
_NEAR_DOMAINS = (".local", ".lan", ".internal", ".localdomain", ".home.arpa")


@dataclass(eq=False, repr=False)
class Glance:
    """What some files of configuration say.

    :ivar files: what was read, with what :func:`os.stat` said of it; ``None`` where there was nothing
    :ivar plain: no connection leads through another machine, and names are told in full
    :ivar whole: nothing is there that could not be read
    :ivar keywords: everything that is set for some host
    """

    files: dict[str, tuple[int, int] | None] = field(default_factory=dict)
    plain: bool = True
    whole: bool = True
    keywords: set[str] = field(default_factory=set)
    _names: list[tuple[tuple[str, ...], str]] = field(default_factory=list)

    @classmethod
    def at(cls, ssh_config: str | None) -> Glance:
        """Read the configuration. Blocks.

        :param ssh_config: the only file that counts; ``None`` for those that ssh usually reads
        """
        glance = cls()
        try:
            for path, around in USUAL if ssh_config is None else ((ssh_config, "~/.ssh"),):
                glance._read(_expanded(path), _expanded(around), 0)
        except (OSError, UnicodeDecodeError):
            glance.plain = glance.whole = False
        return glance

    @property
    def fresh(self) -> bool:
        """Whether the files are still what they were."""
        return all(_stamp(path) == stamp for path, stamp in self.files.items())

    def mentions(self, keywords: Iterable[str]) -> bool:
        """Tell whether one of these keywords, in small letters, may be set for some host."""
        return not self.whole or not self.keywords.isdisjoint(keywords)

    def hostname(self, host: str) -> str | None:
        """Return the name or address that a host is connected to at; ``None`` where only ssh knows."""
        if not self.plain:
            return None
        for patterns, name in self._names:
            if _matches(patterns, host):
                return name.replace("%h", host).lower()
        return host.lower()

    def _read(self, path: str, around: str, depth: int) -> None:
        stamp = self.files[path] = _stamp(path)
        if stamp is None and depth == 0:
            return
        patterns: tuple[str, ...] | None = None
        for keyword, value in _lines(Path(path).read_text(encoding="utf-8")):
            self.keywords.add(keyword)
            self.plain &= keyword not in _INTRICATE
            if keyword not in ("host", "match", "hostname", "include"):
                continue
            if keyword == "match":
                patterns = ()
            elif _SPECIAL.search(value) or "%" in value.replace("%h", ""):
                self.plain = False
                self.whole &= keyword != "include"
            elif keyword == "host":
                patterns = tuple(value.split())
            elif keyword == "hostname":
                self._names.append((("*",) if patterns is None else patterns, value))
            else:
                # Within a block it counts for some hosts only.
                self.plain &= patterns is None and depth < _MAX_DEPTH
                for word in value.split() if depth < _MAX_DEPTH else ():
                    self._include(os.path.join(around, _expanded(word)), around, depth)

    def _include(self, pattern: str, around: str, depth: int) -> None:
        # A file that comes to be here later is noticed by its directory.
        self.files[os.path.dirname(pattern)] = _stamp(os.path.dirname(pattern))
        import glob  # few configurations include others

        for path in sorted(glob.glob(pattern)):
            # What is included twice (or includes itself) adds no keyword, and its order is for ssh to know.
            if path in self.files:
                self.plain = False
            else:
                self._read(path, around, depth + 1)


def is_near(host: Host, ssh_config: str | None) -> bool:
    """Guess whether a host is on the same network: a private address, or a name that only such a network knows."""
    name = None if host.via is not None else glance_at(ssh_config).hostname(login_of(host).address)
    if name is None:
        return False
    if ":" in name or name.rpartition(".")[2].isdigit():
        return _NEAR_ADDRESS.match(name) is not None
    return "." not in name or name.endswith(_NEAR_DOMAINS)


_seen: dict[tuple[str | None, str], Glance] = {}


def glance_at(ssh_config: str | None) -> Glance:
    """Return what the configuration says now, read again only where it has changed. Blocks."""
    key = ssh_config, _expanded("~")
    glance = _seen.get(key)
    if glance is None or not glance.fresh:
        glance = _seen[key] = Glance.at(ssh_config)
    return glance


def _expanded(path: str) -> str:
    """Expand ``~`` as ssh does: it goes by the user's entry in passwd, whatever HOME says."""
    if path != "~" and not path.startswith("~/"):
        return os.path.expanduser(path)
    try:
        return pwd.getpwuid(os.getuid()).pw_dir + path[1:]
    except KeyError:
        return os.path.expanduser(path)


def _lines(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        found = _LINE.match(line)
        if found:
            yield found[1].lower(), found[2]


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size


def _matches(patterns: tuple[str, ...], host: str) -> bool:
    """Whether a line ``Host`` means a host: one of its patterns does, and none with ``!`` before it."""
    if any(fnmatchcase(host, pattern[1:]) for pattern in patterns if pattern.startswith("!")):
        return False
    return any(fnmatchcase(host, pattern) for pattern in patterns if not pattern.startswith("!"))
