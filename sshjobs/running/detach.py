"""Detached runs: the manager is a process of its own, which survives the terminal."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sshjobs.errors import SshjobsError
from sshjobs.model.host import Host
from sshjobs.model.spec import JobSpec
from sshjobs.running.control import listens
from sshjobs.running.newrun import new_run
from sshjobs.store import RunReader
from sshjobs.store.ownership import check_own
from sshjobs.store.rundir import RunPaths

#: The file in the run directory to which such a manager writes.
LOG = "manager.log"
#: Seconds that it gets to take the run over.
PATIENCE = 60.0
#: Seconds between two looks at whether it has.
PAUSE = 0.02
# It imports the same modules as we do: by the same path, which never contains the current directory by accident.
_CODE = "import sys; sys.path[:] = {path!r}; from sshjobs.cli import main; sys.exit(main())"
_TAIL = 4096


def prepare(specs: Iterable[JobSpec], hosts: Sequence[Host], *, results: Path, options: dict[str, Any],
            name: str | None = None, stem: str = "run", jobfile: bytes | None = None,
            earlier: Sequence[RunPaths] = ()) -> RunPaths:
    """Make a run without a manager. Nothing is started, and no host is contacted.

    :param options: from :func:`sshjobs.running.forms.options_of`
    :param earlier: runs whose done jobs count as done
    :raises UsageError: something is not allowed; no run was made
    """
    made = new_run(specs, hosts, results, name=name, stem=stem, jobfile=jobfile, options=options, earlier=earlier,
                   slots=options.get("slots"))
    made.store.close()
    return made.paths


def detach(paths: RunPaths) -> int:
    """Start a manager for a run as a process in a session of its own; return its pid once it has taken the run over.

    It writes to ``manager.log`` in the run directory, and goes on when this process ends.

    :raises SshjobsError: it ended before it had taken the run over; the message has the last line that it wrote
    """
    check_own(paths)
    with RunReader.open(paths) as reader:
        before = reader.summary().epoch
        log = paths.root / LOG
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(log, flags, 0o600)
        except OSError as error:
            raise SshjobsError("the log cannot be written", where=str(log), why=error.strerror) from error
        with open(descriptor, "ab") as file:
            begin = os.fstat(descriptor).st_size
            code = _CODE.format(path=[path for path in sys.path if path])
            process = subprocess.Popen(
                [sys.executable, "-c", code, "resume", str(paths.root.absolute()), "--quiet"],
                stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True)
        deadline = time.monotonic() + PATIENCE
        while not _has_taken(reader, before, process):
            if process.poll() is not None:
                if reader.summary().epoch > before:
                    break
                raise SshjobsError("its manager ended before it had taken the run", where=paths.name,
                                   why=last_words(log, begin), hint=f"all it said is in {log}")
            if time.monotonic() >= deadline:
                process.kill()
                process.wait()
                raise SshjobsError("its manager did not take the run in time", where=paths.name,
                                   why=last_words(log, begin), hint=f"try: sshjobs resume {paths.name}")
            time.sleep(PAUSE)
    # Its exit status does not matter here. Without this Python would warn of a child that still runs.
    process.returncode = 0
    return process.pid


def _has_taken(reader: RunReader, before: int, process: subprocess.Popen[bytes]) -> bool:
    """Return whether the process is the run's manager and takes requests, or was that and has ended the run already."""
    summary = reader.summary()
    manager = summary.manager
    if summary.epoch <= before or manager is None or manager.pid != process.pid:
        return False
    return summary.until is not None or listens(summary.uid)


def last_words(log: Path, begin: int = 0) -> str | None:
    """Return the last line of a log that is not blank; ``None`` if there is none.

    :param begin: offset in the file at which to begin
    """
    try:
        with open(log, "rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(begin, end - _TAIL))
            lines = file.read(_TAIL).decode("utf-8", "replace").splitlines()
    except OSError:
        return None
    said = [line.strip() for line in lines if line.strip()]
    return said[-1].removeprefix("sshjobs: ") if said else None
