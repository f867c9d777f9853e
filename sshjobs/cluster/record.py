"""The record of an engine cluster that was brought up: a directory that only its user may read.

It holds ``cluster.ini`` and the key, as hosts have them, ``record.json``, and ``type`` once the cluster is up.
"""

from __future__ import annotations

import errno
import json
import re
import shutil
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sshjobs.errors import SshjobsError, UsageError
from sshjobs.pools.config import INI_NAME, last_recorded, records_directory
from sshjobs.pools.keys import write_private
from sshjobs.store.rundir import RunPaths

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass
class Record:
    """The record of one engine cluster.

    :ivar directory: the directory of its files
    :ivar run: the directory of the run whose jobs its broker and workers are
    :ivar hosts: the hosts that can have workers, in order; the first has the broker
    :ivar address: where the broker or scheduler listens
    :ivar pythons: the interpreter on each host
    :ivar options: how workers are started
    """

    name: str
    kind: str
    directory: Path
    run: str = ""
    address: str = ""
    hosts: list[str] = field(default_factory=list)
    pythons: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def create(cls, kind: str, name: str | None) -> Record:
        """Make the directory of a new engine cluster.

        :param name: ``None`` for the type, with a number where that is taken
        :raises UsageError: the name is taken or not allowed
        :raises SshjobsError: the directory cannot be made
        """
        if name is not None and not _NAME.fullmatch(name):
            raise UsageError(f"no engine cluster can be called {name!r:.80}", hint="use letters, digits, _ and -")
        place = records_directory()
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            for candidate in [name] if name else [kind, *(f"{kind}-{n}" for n in range(2, 10_000))]:
                made = cls(candidate, kind, place / candidate)
                if made._claim():
                    return made
        except OSError as error:
            raise SshjobsError("what is up cannot be written down", where=str(place), why=error.strerror) from None
        raise UsageError(f"an engine cluster '{name}' is up, or was not taken down", where=str(place / str(name)),
                         hint=f"first: sshjobs cluster down --name {name}")

    def _claim(self) -> bool:
        """Make the directory, which from its first moment has all that :meth:`load` needs; False where the name is
        taken."""
        new = Path(tempfile.mkdtemp(prefix=".new-", dir=self.directory.parent))
        try:
            self._write_into(new)
            new.rename(self.directory)
            return True
        except OSError as error:
            shutil.rmtree(new)
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
                return False
            raise

    @classmethod
    def find(cls, kind: str | None, name: str | None) -> Record:
        """Return the engine cluster of a type and a name that was brought up last.

        :raises UsageError: there is none
        """
        found = last_recorded(kind, name) if name is None else records_directory() / name
        if found is None or not _NAME.fullmatch(found.name) or not (found / "record.json").is_file():
            of = f" of type {kind}" if kind else ""
            called = f" called '{name:.64}'" if name else ""
            begun = [] if name else [one.name for one in sorted(records_directory().glob("*"))
                                     if (one / "record.json").exists() and not (one / "type").exists()]
            raise UsageError(f"no engine cluster{of}{called} is up", hint=(
                f"'{begun[0]}' has not come up yet, or never will; to end it: sshjobs cluster down --name {begun[0]}"
                if begun else "bring one up: sshjobs cluster up -t TYPE HOST…"))
        return cls.load(found)

    @classmethod
    def load(cls, directory: Path) -> Record:
        """Read what :meth:`save` wrote.

        :raises SshjobsError: it cannot be read
        """
        try:
            data = json.loads((directory / "record.json").read_text(encoding="utf-8"))
            return cls(**{**data, "directory": directory})
        except (OSError, ValueError, TypeError) as error:
            raise SshjobsError("what is written down of the engine cluster cannot be read", where=str(directory),
                               why=str(error)) from None

    def save(self) -> None:
        """Write the record.

        :raises OSError: it cannot be written
        """
        self._write_into(self.directory)

    def _write_into(self, directory: Path) -> None:
        text = json.dumps({**asdict(self), "directory": str(self.directory)}, indent=1)
        new = directory / "record.new"
        new.unlink(missing_ok=True)
        write_private(new, text.encode())
        new.replace(directory / "record.json")

    def stands(self) -> None:
        """Note that the cluster is up, as the one that was brought up last."""
        write_private(self.directory / "type", f"{self.kind}\n".encode())

    def discard(self) -> None:
        """Remove the record."""
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def paths(self) -> RunPaths:
        """The paths of its run."""
        run = Path(self.run)
        return RunPaths(run.parent, run.name)

    @property
    def down(self) -> str:
        """The command that takes it down."""
        return f"sshjobs cluster down --name {self.name}"

    @property
    def ini(self) -> Path:
        """The file by which it is reached."""
        return self.directory / INI_NAME
