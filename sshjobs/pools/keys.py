"""The key that the parties of an engine cluster share. Who has it can run code on every host of the cluster."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from sshjobs.errors import UsageError

#: What a key file is called that ``up`` makes.
KEY_NAME = "cluster.key"
#: A key file is never longer, in bytes.
MAX_BYTES = 4096


@dataclass(frozen=True)
class Key:
    """A pair of CURVE, as ZeroMQ writes it (Z85, 40 characters each). All parties of a cluster have the same pair."""

    public: str
    secret: str = field(repr=False)

    @property
    def hmac_key(self) -> bytes:
        """The 32 bytes that payloads are signed with where the engine's own channel protects nothing."""
        return hmac.digest(self.secret.encode("ascii"), b"sshjobs payload", hashlib.sha256)

    @classmethod
    def make(cls, path: Path) -> Key:
        """Make a new key and write it to a file that only its owner may read. The file must not be there yet.

        :raises OSError: it cannot be written
        """
        import zmq

        public, secret = (part.decode("ascii") for part in zmq.curve_keypair())
        text = json.dumps({"public": public, "secret": secret}) + "\n"
        write_private(path, text.encode("ascii"))
        return cls(public, secret)

    @classmethod
    def load(cls, path: Path) -> Key:
        """Read a key.

        :raises UsageError: it cannot be read, others may read it too, or it is no key
        """
        import zmq

        check_private(path)
        data = path.read_bytes()[:MAX_BYTES]
        try:
            found = json.loads(data)
            public, secret = str(found["public"]), str(found["secret"])
            fits = zmq.curve_public(secret.encode("ascii")).decode("ascii") == public
        except (ValueError, KeyError, TypeError, zmq.ZMQError):
            fits = False
        if not fits:
            raise UsageError("this is not the key of an engine cluster", where=str(path),
                             hint="take the file that `sshjobs cluster up` or LaunchBroker made")
        return cls(public, secret)


def check_private(path: Path) -> None:
    """Make sure that a file of keys is there, and that only its owner may read it.

    :raises UsageError: it is not so
    """
    try:
        with open(path, "rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
    except OSError as error:
        raise UsageError("the cluster's key cannot be read", where=str(path), why=error.strerror) from None
    if stat.S_IMODE(mode) & 0o077:
        raise UsageError("others may read the cluster's key", where=str(path), hint=f"chmod 600 {path}")


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read. It must not be there yet.

    :raises OSError: it cannot be written
    """
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(data)
