"""Which keys a host may show: known_hosts files, read by OpenSSH's rules.

Not by paramiko, which knows neither patterns nor revoked keys, and only one key of a type for a host.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

#: What a list of revoked keys begins with that ``ssh-keygen -k`` has made.
_KRL = b"SSHKRL\n\0"
#: Seconds that ssh-keygen gets to look into one.
_ASKING = 20.0


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
            return "host-key-revoked"
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


def file_names(hostname: str, port: int, alias: str | None) -> str:
    """Return the name that the key of a host is noted under."""
    return alias.lower() if alias is not None else hostname.lower() if port == 22 else f"[{hostname.lower()}]:{port}"


def note_key(file: str, name: str, kind: str, key: bytes, *, hashed: bool) -> None:
    """Add the key of a host to a file of known hosts, as ssh does.

    :param name: from :func:`file_names`
    :param hashed: hide the name
    :raises OSError: it cannot be written
    """
    if hashed:
        salt = os.urandom(20)
        digest = hmac.new(salt, name.encode(), hashlib.sha1).digest()
        name = "|1|" + "|".join(base64.b64encode(part).decode() for part in (salt, digest))
    os.makedirs(os.path.dirname(file) or ".", 0o700, exist_ok=True)
    with open(os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600), "ab+") as opened:
        # A last line without its end would swallow ours.
        missing = opened.seekable() and opened.tell() > 0 and os.pread(opened.fileno(), 1, opened.tell() - 1) != b"\n"
        opened.write(f"{'' if not missing else chr(10)}{name} {kind} {base64.b64encode(key).decode()}\n".encode())


def is_revoked(file: str, kind: str, key: bytes) -> bool:
    """Tell whether a file of revoked keys (``RevokedHostKeys``) names a key: a list of keys, or a list made by
    ``ssh-keygen -k``. Blocks.

    :raises RevokedUnknownError: that cannot be told, so that no key may be trusted
    """
    try:
        data = Path(file).read_bytes()
    except OSError as error:
        raise RevokedUnknownError(f"{file}: {error.strerror}") from error
    if not data.startswith(_KRL):
        lines = data.decode("utf-8", "replace").splitlines()
        wanted = base64.b64encode(key).decode()
        return any(wanted in line.split() for line in lines if not line.lstrip().startswith("#"))
    line = f"{kind} {base64.b64encode(key).decode()}\n"
    try:
        with tempfile.NamedTemporaryFile("w", suffix=".pub") as shown:
            shown.write(line)
            shown.flush()
            asked = subprocess.run(["ssh-keygen", "-Q", "-f", file, shown.name], stdin=subprocess.DEVNULL,
                                   capture_output=True, timeout=_ASKING, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RevokedUnknownError(f"{file}: ssh-keygen is needed to read it: {error}") from error
    if asked.returncode not in (0, 1) or (asked.returncode == 1 and b"REVOKED" not in asked.stdout):
        raise RevokedUnknownError(f"{file}: {asked.stderr.decode('utf-8', 'replace').strip()[:200]}")
    return asked.returncode == 1


class RevokedUnknownError(Exception):
    """It cannot be told which keys are revoked."""


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
