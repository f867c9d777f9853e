"""RunPaths: the names in a run directory, and how such a directory is made and found.

A run directory holds everything of its run and may be moved::

    RESULTS/<run>/            mode 0700; nobody else reads outputs or environments
        .sshjobs              says that this is a run directory, and when it was made
        run.db                the store
        jobfile.yaml          the jobfile as it was
        hosts.txt             the hosts as they were
        stdin                 what every job reads, where that came in over our own standard input
        jobs/<job>/stdout     what the newest attempt wrote; grows while it runs
        jobs/<job>/stderr
        jobs/<job>/files/     the files that were brought of it (its outputs)
        jobs/<job>/attempt-1/ the same three of an earlier attempt
        jobs/setup@<host>/    what the setup of a host wrote, as of a job
"""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

from sshjobs.errors import HIDDEN, RunExistsError, RunNotFoundError, SshjobsError, UsageError, hidden_in
from sshjobs.model.similar import similar
from sshjobs.store.ownership import check_own_results

#: The file that marks a directory as a run directory.
MARKER = ".sshjobs"
#: Version of the layout above.
LAYOUT = 1
#: Longest name of a run or a job, in bytes of UTF-8: what common file systems hold, with room for a suffix.
MAX_NAME = 240

_RUN_NAME = re.compile(r"\w[\w.+=,@-]*")
_UNSAFE = rf"(?:[^\w.+=,@-]|{HIDDEN})+"
_NOT_IN_A_FILE_NAME = re.compile(r"[/\x00-\x1f\x7f]")


class RunPaths:
    """The paths of one run. Pure: asking for a path touches no disk.

    :param results: directory that the run directory is in
    :param name: name of the run directory
    :ivar store: the store, ``run.db``; an attribute because every commit uses it
    """

    __slots__ = ("_jobs", "name", "root", "store")

    def __init__(self, results: Path, name: str):
        self.name = name
        self.root = results / name
        self.store = self.root / "run.db"
        self._jobs = f"{self.root}/jobs/"

    @property
    def marker(self) -> Path:
        """The file that marks this as a run directory."""
        return self.root / MARKER

    @property
    def jobfile(self) -> Path:
        """The copy of the jobfile."""
        return self.root / "jobfile.yaml"

    @property
    def stdin(self) -> Path:
        """The standard input of every job, where it was read from our own standard input."""
        return self.root / "stdin"

    @property
    def hosts(self) -> Path:
        """The copy of the hosts file."""
        return self.root / "hosts.txt"

    @property
    def jobs(self) -> Path:
        """The directory that holds a directory for each job."""
        return Path(self._jobs)

    def job(self, name: str) -> Path:
        """Return the directory of a job.

        :raises UsageError: the name could leave the directory, or no file can be called so
        """
        return Path(self.job_text(name))

    def job_text(self, name: str) -> str:
        """Return the same as text, for code that needs it for every job: a Path is ten times slower to make."""
        return self._jobs + job_directory_name(name)

    def stdout(self, name: str) -> Path:
        """Return the file of a job's standard output (its newest attempt's)."""
        return Path(f"{self._jobs}{job_directory_name(name)}/stdout")

    def stderr(self, name: str) -> Path:
        """Return the file of a job's standard error (its newest attempt's)."""
        return Path(f"{self._jobs}{job_directory_name(name)}/stderr")

    def files(self, name: str) -> Path:
        """Return the directory of a job's fetched files (of its newest attempt)."""
        return Path(f"{self._jobs}{job_directory_name(name)}/files")

    def attempt(self, name: str, n: int) -> Path:
        """Return the directory of an earlier attempt of a job, which has the same layout as the job's own."""
        return Path(f"{self._jobs}{job_directory_name(name)}/attempt-{n}")

    def __repr__(self) -> str:
        return f"RunPaths({str(self.root)!r})"


def job_directory_name(name: str) -> str:
    """Return a name after checking that it is one harmless component of a path.

    :raises UsageError: it is not
    """
    if name in ("", ".", "..") or _NOT_IN_A_FILE_NAME.search(name):
        raise UsageError(f"a job cannot be called {name!r:.300}", why="a directory is named after it",
                         hint=f"use 1 to {MAX_NAME} bytes without / and control characters")
    if len(name) > MAX_NAME // 4 and _bytes(name) > MAX_NAME:
        raise UsageError(f"a job cannot be called {name!r:.300}", why=f"a directory is named after it, and it has "
                         f"{_bytes(name)} bytes", hint=f"make it shorter: {MAX_NAME} bytes, with the host's name where "
                                                       "each host has the job")
    return name


def check_run_name(name: str) -> str:
    """Return a name after checking that a run may have it.

    :raises UsageError: it is not one harmless component of a path, or a command could take it for an option
    """
    if not _RUN_NAME.fullmatch(name) or hidden_in(name) or _bytes(name) > MAX_NAME:
        raise UsageError(f"a run cannot be called {name!r:.80}", why="a directory is named after it",
                         hint="begin with a letter or digit; then letters, digits and . + = , @ - _")
    return name


def create_run(results: Path, *, name: str | None = None, stem: str = "run") -> RunPaths:
    """Make a run directory with its ``jobs`` directory, and RESULTS if it is missing.

    If several processes want the same name, only one gets it.

    :param name: the name of the run; ``None`` chooses ``<stem>-<n>``
    :raises RunExistsError: something of that name exists already, even if only an unfinished start left it
    :raises UsageError: a run cannot have that name
    :raises SshjobsError: the directory cannot be made
    """
    if name is None:
        name = choose_name(results, stem)
    else:
        check_run_name(name)
        try:
            _make_results(results)
            (results / name).mkdir(mode=0o700)
        except FileExistsError:
            raise _exists(RunPaths(results, name)) from None
        except OSError as error:
            raise _cannot_make(results / name, error) from error
    paths = RunPaths(results, name)
    try:
        paths.jobs.mkdir(mode=0o700)
        write_private(paths.marker, json.dumps({"layout": LAYOUT, "created": time.time()}) + "\n")
    except OSError as error:
        discard_run(paths)
        raise _cannot_make(paths.root, error) from error
    return paths


def discard_run(paths: RunPaths, *, store_too: bool = False) -> None:
    """Remove the directory of a run that could not be started, so that its name is free again. Never raises.

    :param store_too: also if it has a store; otherwise such a directory is left alone
    """
    import shutil  # where nothing went wrong nobody needs it

    if store_too or not paths.store.exists():
        shutil.rmtree(paths.root, ignore_errors=True)


def choose_name(results: Path, stem: str) -> str:
    """Make the directory ``<stem>-<n>`` in RESULTS, with n one more than the highest there, and return its name.

    :param stem: usually the jobfile's name without its suffix; characters that are not allowed become ``-``
    :raises SshjobsError: the directory cannot be made
    """
    if not (stem.isascii() and stem.isalnum()):
        stem = re.sub(_UNSAFE, "-", stem).strip("-.+=,@") or "run"
    while _bytes(stem) > MAX_NAME - 12:
        stem = stem[:-1]
    try:
        _make_results(results)
        n = 1 + max((_number_of(entry.name, stem) for entry in os.scandir(results)), default=0)
        while True:
            name = f"{stem}-{n}"
            try:
                (results / name).mkdir(mode=0o700)
            except FileExistsError:
                n += 1
                continue
            return name
    except OSError as error:
        raise _cannot_make(results, error) from error


def write_private(path: Path, text: str | bytes) -> None:
    """Write a file that only its owner can read (0600). Readers see all of it or nothing.

    :raises OSError: it cannot be written; a file of that name from before is unchanged
    """
    data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    aside = path.with_name(path.name + ".new")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(data)
    os.replace(aside, path)


def list_runs(results: Path) -> list[RunPaths]:
    """Return the runs in RESULTS that have a store, oldest first; none if RESULTS does not exist."""
    try:
        names = [entry.name for entry in os.scandir(results) if entry.is_dir() and entry.name[0] != "."]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise SshjobsError("the runs cannot be listed", where=str(results), why=error.strerror) from error
    runs = [paths for paths in (RunPaths(results, name) for name in names) if paths.store.is_file()]
    return sorted(runs, key=lambda paths: (_created(paths), paths.name))


def names_run(results: Path, word: str) -> bool:
    """Return whether a word of a command line means a run: it contains a ``/``, or names a run in RESULTS."""
    return "/" in word or (bool(_RUN_NAME.fullmatch(word)) and RunPaths(results, word).store.is_file())


_NO_RUNS = "start one with `sshjobs run`, or point --results to where they are"


def find_run(results: Path, run: str | None = None) -> RunPaths:
    """Return the paths of an existing run.

    :param run: its name in RESULTS, or a path (with a ``/``); ``None``: the newest
    :raises RunNotFoundError: there is none; the hint has similar names
    """
    if run is None:
        runs = list_runs(results)
        if not runs:
            raise RunNotFoundError("there is no run yet", where=str(results), hint=_NO_RUNS)
        return runs[-1]
    root = Path(run) if "/" in run else results / run
    # A path may end in a slash or in `..`, so the name comes from the resolved directory.
    root = Path(os.path.abspath(root)) if "/" in run else root
    paths = RunPaths(root.parent, root.name)
    if ("/" in run or _RUN_NAME.fullmatch(run)) and paths.store.is_file():
        return paths
    if "/" not in run:
        names = [paths.name for paths in list_runs(results)]
        near = similar(run, names, 3, 0.5)
        hint = _NO_RUNS if not names else f"did you mean {' or '.join(near)}?" if near else (
            f"the newest are {', '.join(names[-5:])}")
    else:
        hint = "the path must be that of a run directory, with run.db in it"
    if root.is_dir() and (root / MARKER).is_file():
        hint = f"its start was cut short and nothing ran; remove {root}"
    raise RunNotFoundError(f"there is no run {run}", where=None if "/" in run else str(results), hint=hint)


def _bytes(name: str) -> int:
    return len(name.encode("utf-8", "surrogatepass"))


def _number_of(name: str, stem: str) -> int:
    number = name[len(stem) + 1 :] if name.startswith(f"{stem}-") else ""
    return int(number) if number.isascii() and number.isdigit() and len(number) < 10 else 0


def _created(paths: RunPaths) -> float:
    """Return when the run was made, from its marker: a copied directory has other times on disk."""
    try:
        return float(json.loads(paths.marker.read_text())["created"])
    except (OSError, ValueError, TypeError, KeyError):
        return paths.store.stat().st_mtime


def _exists(paths: RunPaths) -> RunExistsError:
    if paths.marker.is_file() and not paths.store.exists():
        hint = "its start was cut short and nothing ran; remove that directory, or choose another --name"
    else:
        hint = "choose another --name, or resume that run"
    return RunExistsError(f"there is a run called {paths.name} already", where=str(paths.root), hint=hint)


def _make_results(results: Path) -> None:
    results.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_own_results(results)


def _cannot_make(path: Path, error: OSError) -> UsageError:
    return UsageError("the run directory cannot be made", where=str(path), why=error.strerror or str(error),
                        hint="choose another place with --results")
