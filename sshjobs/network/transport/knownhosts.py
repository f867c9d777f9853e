"""Which keys a host may show: known_hosts files, read by OpenSSH's rules.

Not by paramiko, which knows neither patterns nor revoked keys, and only one key of a type for a host.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple


class KnownKeys(NamedTuple):
    """The keys that are on file for one host.

    :ivar trusted: type and key, as it is on the wire
    :ivar revoked: keys that nobody may show
    """

    trusted: tuple[tuple[str, bytes], ...]
    revoked: frozenset[bytes]

    @property
    def types(self) -> list[str]:
        """The types of the trusted keys, each once, in their order."""
        return list(dict.fromkeys(kind for kind, _ in self.trusted))

    def verdict(self, kind: str, key: bytes) -> str:
        """Return ``known`` for a key that the host may show, else the cause by name."""
        if key in self.revoked:
            return "host-key-changed"
        if (kind, key) in self.trusted:
            return "known"
        return "host-key-changed" if kind in self.types else "host-key-unknown"


def known_keys(files: Iterable[str], hostname: str, port: int, alias: str | None = None) -> KnownKeys:
    """Return the keys on file for a host. Files that are not there or cannot be read know no key.

    :param alias: the name that it is filed under, whatever its name and port
    """
    entries = [entry for file in files for entry in _entries(file)]
    if alias is not None:
        return _keys_of(entries, alias.lower())
    if port == 22:
        return _keys_of(entries, hostname.lower())
    found = _keys_of(entries, f"[{hostname.lower()}]:{port}")
    # As ssh does: a key that is known for the machine counts for its other ports while they have none of their own.
    return found if found.trusted else _keys_of(entries, hostname.lower())


class _Entry(NamedTuple):
    marker: str
    hosts: str
    kind: str
    key: bytes


def _entries(file: str) -> Iterator[_Entry]:
    try:
        text = Path(file).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for line in text.splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        marker = words.pop(0) if words[0].startswith("@") else ""
        if len(words) < 3:
            continue
        try:
            key = base64.b64decode(words[2], validate=True)
        except binascii.Error:
            continue
        yield _Entry(marker, words[0], words[1], key)


def _keys_of(entries: Iterable[_Entry], name: str) -> KnownKeys:
    mine = [entry for entry in entries if _matches(entry.hosts, name)]
    # Certificates are not checked, so an authority trusts nobody here.
    return KnownKeys(tuple((entry.kind, entry.key) for entry in mine if not entry.marker),
                     frozenset(entry.key for entry in mine if entry.marker == "@revoked"))


def _matches(hosts: str, name: str) -> bool:
    if hosts.startswith("|1|"):
        return _matches_hash(hosts, name)
    found = False
    for pattern in hosts.lower().split(","):
        if re.fullmatch(_regex(pattern.removeprefix("!")), name):
            if pattern.startswith("!"):
                return False
            found = True
    return found


def _matches_hash(hosts: str, name: str) -> bool:
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in hosts.split("|")[2:4])
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(hmac.new(salt, name.encode(), hashlib.sha1).digest(), digest)


def _regex(pattern: str) -> str:
    # Not fnmatch: brackets are part of names here.
    return "".join({"*": ".*", "?": "."}.get(letter) or re.escape(letter) for letter in pattern)
