"""What commands print with --json is what their schemas say, in a run that has all kinds of ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import jsonschema_rs
import pytest

from sshjobs.cli.app import commands
from sshjobs.cli.jsonforms import FORMS, VERSION, schema_of
from tests.cli.here import call_here
from tests.cli.runs import edit, make_run
from tests.hints import tries

JOBFILE = """
on_done: ["false"]
jobs:
  - {name: fine, argv: [echo, hello]}
  - {name: bad, commands: ["echo red >&2", exit 3], retries: 1}
  - {name: killed, commands: ["kill -9 $$"]}
  - {name: never, argv: ["true"], after: [bad]}
"""


def lines(name: str, *words: str) -> list[Any]:
    """Carry out a command with --json; return what it printed, each checked against the schema of the command."""
    told = call_here(*name.split(), "--json", *words)
    check = jsonschema_rs.validator_for(schema_of(name))
    whole = name in ("status", "table", "why")
    found = json.loads(told.stdout) if whole else [json.loads(line) for line in told.stdout.splitlines()]
    assert found, told.stderr
    for one in [found] if whole else found:
        errors = [f"{error.instance_path}: {error.message}" for error in check.iter_errors(one)]
        assert not errors, (one, errors)
    return found if isinstance(found, list) else [found]


def test_what_is_printed_is_what_the_schemas_say(tmp_path: Path, clean_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("jobs.yaml").write_text(JOBFILE)
    words = {event["event"] for event in lines("run", "jobs.yaml", "--name", "r")}
    assert {"run", "host", "launch", "retry", "done", "error", "warning", "end"} <= words
    lines("run", "jobs.yaml", "--dry-run")
    lines("exec", "--name", "e", "echo {}", ":::", "a", "b")
    lines("plan", "jobs.yaml", "--against", "r")
    lines("status", "r")
    lines("status", "r", "--summary")
    lines("retry", "r", "killed")
    lines("why", "r")
    lines("why", "r", "bad", "never")
    lines("grep", "red", "r")
    lines("grep", "-l", "red", "r")
    lines("table", "r")
    lines("ls")
    lines("report", "r")
    lines("verify", "r")
    lines("notices", "r")
    lines("config")
    lines("version")
    lines("hosts who", "--hosts", "localhost")
    lines("hosts usage", "--hosts", "localhost")
    lines("hosts check", "--hosts", "localhost")
    lines("simulate", "jobs.yaml", "--hosts", "a,b", "--seconds", "3", "--times", "3")
    assert lines("logs", "r", "fine") == [{"job": "fine", "stream": "stdout", "text": "hello"}]
    assert [one["text"] for one in lines("logs", "r", "*", "--stderr", "-n", "1")] == ["red"]
    assert lines("wait", "r", "e") == [{"run": "r", "state": "failed", "exit_code": 1}, {"run": "e", "state": "done", "exit_code": 0}]
    assert lines("cancel", "r", "fine", "bad") == [{"run": "r", "jobs": ["fine", "bad"], "cancelled": 0, "ended_first": {},
                                                    "ended_before": 2, "receipt": None}]
    [swept] = lines("gc", "r", "--dry-run")
    assert (swept["dry_run"], swept["removed"], swept["hosts"][0]["host"]) == (True, None, "localhost")
    [swept] = lines("gc", "r")
    assert (swept["dry_run"], swept["left"]) == (False, {"processes": 0, "files": 0, "hosts": 1})
    assert [(one["run"], one["removed"], one["would_remove"]) for one in lines("rm", "r", "e", "--dry-run")] == [
        ("r", False, True), ("e", False, True)]
    assert lines("rm", "e") == [{"run": "e", "directory": "results/e", "removed": True, "would_remove": False, "reason": None}]
    assert not Path("results/e").exists()


def test_commands_that_change_a_run_say_what_they_changed(tmp_path: Path, clean_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a run that nobody manages at present, and in one that a manager works on."""
    monkeypatch.chdir(tmp_path)
    make_run(Path("results"), "u")
    act = {"run": "u", "attended": False}
    assert lines("pause", "u") == [{**act, "jobs": None, "named": 0, "ended_before": 0}]
    assert lines("unpause", "u") == [{**act, "jobs": None, "named": 0, "ended_before": 0}]
    assert lines("pause", "u", "sim-*") == [{**act, "jobs": ["sim-1", "sim-2", "sim-3"], "named": 3, "ended_before": 0}]
    assert lines("pause", "u", "sim-1") == [{**act, "jobs": [], "named": 1, "ended_before": 0}]
    assert lines("unpause", "u", "sim-2") == [{**act, "jobs": ["sim-2"], "named": 1, "ended_before": 0}]
    assert lines("add", "u", "--name", "more", "--", "true") == [{**act, "jobs": ["more"]}]
    assert lines("withdraw", "u", "more") == [{**act, "jobs": ["more"], "state": "interrupted"}]
    for verb in ("drain", "undrain"):
        assert lines(f"hosts {verb}", "u", "a") == [{**act, "hosts": ["a"]}]
    assert lines("hosts add", "u", "c") == [{**act, "hosts": ["c"]}]
    assert lines("hosts remove", "u", "c") == [{**act, "hosts": ["c"]}]
    assert lines("hosts set", "u", "a", "b", "slots=3") == [{**act, "hosts": ["a", "b"], "slots": 3}]
    lines("queue start", "--detach", "--name", "q")
    assert lines("queue finish", "q") == [{"run": "q", "attended": True}]
    assert lines("wait", "q")[0]["state"] == "done"


def test_what_is_refused_is_an_object_or_a_line_and_never_both(tmp_path: Path, clean_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with edit(Path("results"), "u", ["x"]) as run:
        run.busy("x")
    told = call_here("rm", "u", "--json")
    assert told.returncode != 0 and told.stderr == "" and "may still run" in json.loads(told.stdout)["reason"]
    assert Path("results/u").exists()
    told = call_here("rm", "nosuch", "--json")
    assert (told.returncode, told.stdout) == (2, "") and "nosuch" in told.stderr


def test_every_command_with_json_has_a_schema() -> None:
    with_json = {name for name, command in commands() if any(
        "--json" in param.opts for param in command.params if isinstance(param, click.Option))}
    assert with_json <= set(FORMS), "describe it in sshjobs/cli/jsonforms.py"


@pytest.mark.parametrize("name", FORMS)
def test_a_schema_is_one_and_names_its_version(name: str) -> None:
    schema = json.loads(call_here("schema", *name.split()).stdout)
    jsonschema_rs.meta.validate(schema)
    assert schema["$id"].endswith(f":{VERSION}")


@tries("these do: {}")
def test_a_command_without_json_is_told() -> None:
    assert call_here("schema", "statsu").stderr == "sshjobs: 'statsu' prints no JSON; did you mean status?\n"
    told = call_here("schema", "demo")
    assert told.returncode == 2 and told.stderr.startswith("sshjobs: 'demo' prints no JSON; ")
    assert call_here("schema").returncode == 0
