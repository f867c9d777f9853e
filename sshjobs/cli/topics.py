"""What ``sshjobs help TOPIC`` explains. Tests compare it with the pages of the documentation."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable

#: Widest line.
_WIDTH = 100

#: Where a job stands.
STATES = {
    "free": "it waits to be launched, or to be launched again",
    "busy": "it was launched and is not over yet",
    "unknown": "it was launched, and its host cannot be asked at the moment. Never means failure",
    "done": "it is over and it succeeded",
    "error": "it is over in any other way",
}
#: Why a job or an attempt ended.
OUTCOMES = {
    "succeeded": "it exited with status 0, or with one that its ok_exit names",
    "failed": "it exited with another status, or could not be started at all",
    "signalled": "a signal ended it",
    "timed_out": "its timeout passed, and it was ended with all that it had started",
    "out_of_memory": "the kernel ended it for want of memory",
    "never_started": "it was launched, and it is proved that it did not start and never will",
    "lost": "it had started, no process of it is alive, and how it ended can no longer be known",
    "cancelled": "a person, or --fail-fast, ended it",
    "skipped": "it was not launched, because no host that it may run on can be used, or what it waits for did not "
               "succeed",
}
#: Where a run stands.
RUN_STATES = {
    "running": "a manager works on it",
    "unattended": "its manager is gone, jobs may still run: sshjobs resume",
    "interrupted": "its manager stopped in good order before all was over: sshjobs resume",
    "done": "over, and all jobs are done",
    "failed": "over, and not all jobs are done",
    "cancelled": "over, because a person ended it",
}
#: What a command of ours returns to the shell.
EXIT_CODES = {
    "0": "all is well: every job is done, every host can be used, the command did what it was asked",
    "1": "some jobs are not done, some hosts cannot be used, output could not be printed, or something went wrong that "
         "the line on standard error tells",
    "2": "bad usage or bad input; nothing was started",
    "3": "no host could be used",
    "70": "a mistake of sshjobs itself; one line names a file with the details, which only you can read",
    "130": "interrupted",
    "141": "the reader of the output had enough of it (| head); run and resume go on in silence instead",
}


def _states() -> str:
    return "\n".join([
        "A job is in one of five states:", "", *_rows(STATES), "",
        "Why it ended is its outcome; done goes with succeeded, error with all others:", "", *_rows(OUTCOMES), "",
        "A run is:", "", *_rows(RUN_STATES), ""])


def _exit_codes() -> str:
    return "\n".join([
        "What sshjobs returns to your shell. Never the exit status of a job, and never ssh's 255.", "",
        *_rows(EXIT_CODES), "", "sshjobs wait RUN returns that of a run that something else carries out.", ""])


def _jobfile() -> str:
    from sshjobs.inputs.jobmodel import jobfile_schema

    schema = jobfile_schema()
    job = {key: _said(value) for key, value in schema["$defs"]["JobEntry"]["properties"].items()}
    top = {key: _said(value) for key, value in schema["properties"].items()}
    return "\n".join([
        "A jobfile is YAML or JSON: a list of jobs, and what is said once for all of them.", "",
        "  defaults:", "    timeout: 2h", "  jobs:", "    - name: train",
        '      matrix: {lr: ["0.1", "0.01"], seed: ["1", "2"]}', "      files: [train.py]",
        "      commands: [python3 train.py --lr ${{ lr }} --seed ${{ seed }}]", "",
        "Keys of the file:", "", *_rows(top), "", "Keys of a job, and of defaults:", "", *_rows(job), "",
        "sshjobs init writes one with comments, sshjobs schema prints the JSON Schema for editors.", ""])


def _json() -> str:
    from sshjobs.cli.app import commands

    told = {name: _json_help(command.params) for name, command in commands()}
    return "\n".join([
        "These commands print JSON for programs; all else goes to standard error:", "",
        *_rows({name: said for name, said in told.items() if said}), "",
        "sshjobs schema COMMAND prints the JSON Schema of that, with its version. Keys may be added within a version;",
        "skip those that you do not know.", ""])


def _json_help(params: Iterable[object]) -> str:
    for param in params:
        if "--json" in getattr(param, "opts", ()):
            return str(getattr(param, "help", ""))
    return ""


def _said(value: dict[str, object]) -> str:
    return str(value.get("description") or value.get("title") or "")


def _rows(rows: dict[str, str]) -> list[str]:
    width = max(map(len, rows)) + 2
    lines = []
    for name, said in rows.items():
        first, *rest = textwrap.wrap(said, _WIDTH - width - 2) or [""]
        lines += [f"  {name:<{width}}{first}".rstrip(), *(" " * (width + 2) + line for line in rest)]
    return lines


#: What may be asked for, beside the page for agents: in a few words, and the text.
TOPICS: dict[str, tuple[str, Callable[[], str]]] = {
    "states": ("where a job and a run may stand, and why a job ended", _states),
    "exit-codes": ("what commands return to the shell", _exit_codes),
    "jobfile": ("every key of a jobfile", _jobfile),
    "json": ("which commands print JSON", _json),
}
