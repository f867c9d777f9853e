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
    found = json.loads(told.stdout) if name in ("status", "table", "why") else [json.loads(line) for line in told.stdout.splitlines()]
    assert found, told.stderr
    for one in [found] if name in ("status", "table", "why") else found:
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
    told = call_here("schema", "logs")
    assert told.returncode == 2 and told.stderr.startswith("sshjobs: 'logs' prints no JSON; ")
    assert call_here("schema").returncode == 0
