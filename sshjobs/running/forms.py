"""Converts jobs, hosts and options from the forms in which a program may pass them, and errors to the ones it sees."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from sshjobs.errors import SshjobsError, UsageError
from sshjobs.inputs.hostfile import load_hosts
from sshjobs.inputs.jobpaths import PathChecker, same_place
from sshjobs.inputs.manners import read_manners, with_manners
from sshjobs.inputs.source import read_input
from sshjobs.model.given import LONGEST_S, MAX_SLOTS, check, check_each, check_number, check_path, check_texts, wrong
from sshjobs.model.host import Host
from sshjobs.model.sent import sent
from sshjobs.model.spec import JobSpec
from sshjobs.model.telling import Telling
from sshjobs.running.courier import check_apprise
from sshjobs.scheduling.failures import FailureLimit
from sshjobs.store.rundir import RunPaths, find_run

if TYPE_CHECKING:
    from sshjobs.inputs.builder import Builder

#: The hosts for a program that names none: this machine.
EMBEDDED = [Host("localhost", local=True)]


class GivenJobs(NamedTuple):
    """Jobs that were passed in any form.

    :ivar stem: the name of a run of them, to which a number is added
    :ivar jobfile: the bytes of the jobfile, ``None`` if there was none
    :ivar run_keys: the keys of the jobfile for the run as a whole
    """

    specs: list[JobSpec]
    stem: str = "run"
    jobfile: bytes | None = None
    run_keys: Mapping[str, Any] = MappingProxyType({})

    def for_a_run_that_is_there(self) -> list[JobSpec]:
        """Return the specs, for a run that exists already.

        :raises UsageError: the jobfile has keys for the run as a whole
        """
        for key in self.run_keys:
            raise UsageError(f"{key} is about a whole run, and this one is there already",
                             hint="take it out of the jobfile")
        return self.specs


def jobs_from(jobs: str | Path | Builder | Iterable[JobSpec]) -> GivenJobs:
    """Return jobs that were passed as the path of a jobfile, as a builder, or as specs. Checks the files to send.

    :raises UsageError: they are something else, or a file to be sent is missing
    """
    # Imported here: the reader of jobfiles takes long to load, and `exec` does not need it.
    from sshjobs.inputs.builder import Builder
    from sshjobs.inputs.yamlevents import MAX_BYTES

    if isinstance(jobs, (str, PathLike)):
        check_path("the jobfile", jobs)
        data = None if str(jobs) == "-" else read_input(jobs, MAX_BYTES)
        return jobs_of_file(str(jobs), data)
    if isinstance(jobs, JobSpec):
        raise wrong("jobs", jobs, "a list of JobSpecs", hint="put it into a list")
    specs = jobs.MakeJobSpecs() if isinstance(jobs, Builder) else _specs(jobs)
    check_inputs(specs)
    return GivenJobs(specs, run_keys=jobs.run_keys if isinstance(jobs, Builder) else {})


def _specs(jobs: Iterable[JobSpec]) -> list[JobSpec]:
    try:
        return check_each("jobs", jobs, JobSpec)
    except UsageError as error:
        raise UsageError(error.what, hint="give the path of a jobfile, a Builder, or [JobSpec('echo hi')]") from None


def hosts_from(hosts: str | Path | Sequence[str | Host] | None,
               run_keys: Mapping[str, Any] | None = None) -> list[Host]:
    """Return hosts that were passed in any form of the API.

    :param run_keys: keys of a jobfile for the run as a whole, which may have manners for all hosts
    :raises UsageError: they cannot be understood
    """
    if run_keys:
        return with_manners_of(hosts_from(hosts), run_keys)
    if hosts is None:
        return EMBEDDED
    if isinstance(hosts, (str, PathLike)):
        check_path("hosts", hosts)
        return load_hosts(str(hosts))
    check("hosts", hosts, str, list, tuple)
    return [host for one in hosts for host in ([one] if isinstance(one, Host) else load_hosts([one]))]


def with_manners_of(hosts: Sequence[Host], run_keys: Mapping[str, Any]) -> list[Host]:
    """Return hosts with the manners of a jobfile as defaults."""
    manners = run_keys.get("manners")
    return list(hosts) if manners is None else with_manners(hosts, read_manners(manners))


def runs_from(results: Path, runs: Any) -> list[RunPaths]:
    """Return runs that were passed by name or path, one or a list of them; each once.

    :raises RunNotFoundError: there is no such run
    """
    check("continue_from", runs, str, PathLike, list, tuple)
    named = [runs] if isinstance(runs, (str, PathLike)) else list(runs)
    found: dict[Path, RunPaths] = {}
    for one in named:
        check_path("each of continue_from", one)
        paths = find_run(results, os.fspath(one))
        found[paths.root.absolute()] = paths
    return list(found.values())


def check_options(*, results: Any, name: Any, ssh_config: Any, transport: Any, slots: Any, listener: Any,
                  stem: Any = "run", jobfile: Any = None, fail_fast: Any = False, stays_open: Any = False,
                  give_up_host: Any = None, accept_new_host_keys: Any = False, max_failures: Any = None,
                  setup: Any = None) -> None:
    """Check types and limits of options.

    :raises UsageError: one is wrong
    """
    check_path("results", results)
    for key, text in (("name", name), ("transport", transport)):
        check(key, text, str, none=True)
    check("stem", stem, str)
    check("jobfile", jobfile, bytes, none=True)
    check_path("ssh_config", ssh_config, none=True)
    check_number("slots", slots, 1, MAX_SLOTS, whole=True, none=True)
    check("fail_fast", fail_fast, bool)
    check("stays_open", stays_open, bool)
    check("accept_new_host_keys", accept_new_host_keys, bool)
    check_number("give_up_host", give_up_host, 0, LONGEST_S, above=True, none=True)
    if max_failures is not None:
        limit_of(max_failures)
    script_of(setup)
    if not callable(listener):
        raise wrong("listener", listener, "a function of one event")


def script_of(setup: Any) -> list[str]:
    """Return the lines of a setup; an empty list if there is none.

    :raises UsageError: it is no script
    """
    if setup is None or isinstance(setup, str):
        return [setup] if setup else []
    return check_texts("setup", setup)


def limit_of(value: Any, name: str = "max_failures") -> FailureLimit | None:
    """Return a limit of failed jobs that was passed in any form.

    :raises UsageError: it is no such limit
    """
    try:
        return None if value is None else FailureLimit.of(value)
    except ValueError as error:
        raise UsageError(f"{name}{error}") from None


def check_inputs(specs: Iterable[JobSpec]) -> None:
    """Check the files that jobs need to be sent, each once.

    :raises UsageError: one is missing, or cannot be sent
    """
    checkers: dict[str, PathChecker] = {}
    before: JobSpec | None = None
    for spec in specs:
        alike = before is not None and spec.repeats(before) and not {"files", "stdin", "uses"} & set(spec.templates)
        if not alike and (spec.files or spec.uses or spec.stdin is not None):
            base = spec.base_dir or "."
            _check_files(spec, checkers.setdefault(base, PathChecker(base)))
        before = spec


def _check_files(spec: JobSpec, paths: PathChecker) -> None:
    for file in sent(spec.files):
        if complaint := paths.complaint_of(file):
            raise UsageError(f"files: {complaint}", where=spec.name)
    if twice := same_place(spec.files):
        raise UsageError(f"files: {twice[1]}", where=spec.name, hint="rename one")
    for item in spec.uses:
        if "path" in item and (complaint := paths.complaint_of_used(item["path"])):
            raise UsageError(f"uses: {complaint}", where=spec.name)
    if spec.stdin is not None and (complaint := paths.complaint(spec.stdin, directories=False)):
        raise UsageError(f"stdin: {complaint}", where=spec.name)


def options_of(*, ssh_config: str | None, transport: str | None, slots: int | None, fail_fast: bool,
               stays_open: bool, give_up_host: float | None = None, accept_new_host_keys: bool = False,
               max_failures: str | int | None = None, setup: str | Sequence[str] | None = None,
               telling: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the options of a run in the form that its store keeps.

    :param telling: recipients of notices: :meth:`sshjobs.model.telling.Telling.as_dict`
    :raises UsageError: the ssh configuration cannot be read, or messages cannot be sent
    """
    if Telling.from_dict(telling).needs_apprise:
        check_apprise()
    if ssh_config is not None:
        if not os.access(ssh_config, os.R_OK):
            raise UsageError("the ssh configuration cannot be read", where=ssh_config, hint="correct --ssh-config")
        ssh_config = os.path.abspath(ssh_config)
    return {"ssh_config": ssh_config, "transport": transport, "slots": slots, "fail_fast": fail_fast,
            "stays_open": stays_open, "give_up_host": give_up_host, "accept_new_host_keys": accept_new_host_keys,
            **({} if max_failures is None else {"max_failures": max_failures}),
            **({"setup": lines} if (lines := script_of(setup)) else {}), **({"telling": telling} if telling else {})}


def jobs_of_file(jobfile: str, data: bytes | None, known: Collection[str] = (), *,
                 max_jobs: int | None = None) -> GivenJobs:
    """Return the jobs of a jobfile.

    :param data: its content if it was read already (standard input), else ``None``
    :param known: names of further entries for which its jobs may wait
    :param max_jobs: how many jobs are allowed; ``None``: the default
    :raises InputError: it has mistakes
    """
    from sshjobs.inputs.builder import Builder

    most = {} if max_jobs is None else {"max_jobs": max_jobs}
    builder = Builder().AddJobFile(jobfile, data=data, known=known, **most)
    return GivenJobs(builder.MakeJobSpecs(), Path(jobfile).stem, data, builder.run_keys)


def in_our_words(error: BaseException) -> BaseException:
    """Return the error that a program sees: an OSError becomes one of ours."""
    if not isinstance(error, OSError) or isinstance(error, SshjobsError):
        return error
    ours = SshjobsError("the system refused", where=error.filename and str(error.filename), why=error.strerror)
    ours.__cause__ = error
    return ours
