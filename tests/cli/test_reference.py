"""docs/cli.md says what is true: its options are those of the commands, its events those of a run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

import pytest

from sshjobs.cli.app import commands
from tests.cli.reference import PAGE, renewed, tables
from tests.conftest import SshjobsCli

TEXT = PAGE.read_text(encoding="utf-8")
JOB_KEYS = "job host state outcome exit_status signal attempts seconds reason"


def test_every_command_has_its_options_on_the_page() -> None:
    missing = {name for name, _ in commands()} - set(tables(TEXT))
    assert not missing, "give each a section with <!-- options: NAME --> and <!-- end -->"
    assert renewed(TEXT) == TEXT, "renew it: python -m tests.cli.reference"


@pytest.mark.parametrize("name", [name for name, _ in commands()])
def test_the_help_and_the_page_know_the_same_options(sshjobs_cli: SshjobsCli, name: str) -> None:
    told = sshjobs_cli(*name.split(), "--help").stdout
    assert set(re.findall(r"--[a-z][a-z-]*", _rows(tables(TEXT)[name]))) == (
        set(re.findall(r"^ +(?:-\w, )?(--[a-z][a-z-]*)", told, re.MULTILINE)) - {"--help"})


def _rows(table: str) -> str:
    return "\n".join(line.partition(" | ")[0] for line in table.splitlines() if line.startswith("| `"))


def documented() -> dict[str, str]:
    """Return the events of the page with what it says of their keys."""
    section = TEXT[TEXT.index("## Events"):]
    return dict(re.findall(r"^\| `(\w+)` \| .* \| (.*?) ?\|$", section, re.MULTILINE))


def check(events: Iterable[dict[str, Any]]) -> set[str]:
    """Hold events against the page; return which there were."""
    seen = set()
    for event in events:
        word = event["event"]
        said, _, sometimes = documented()[word].partition("; where ")
        keys = set(JOB_KEYS.split()) if "those of a job" in said else set(re.findall(r"`(\w+)`", said))
        if word == "host":
            keys -= {"up", *({"kind", "reason"} if event["state"] == "up" else {"facts", "slots"})}
        assert set(event) - set(re.findall(r"`(\w+)`", sometimes)) == keys | {"time", "event"}, event
        assert isinstance(event["time"], float)
        seen.add(word)
    return seen


def test_the_events_of_a_run_have_exactly_the_keys_of_the_page(sshjobs_cli: SshjobsCli) -> None:
    jobfile = ("jobs: [{name: ok, argv: [sleep, '4']}, {name: bad, retries: 1, commands: [sleep 0.2, exit 3]},"
               " {name: never, hosts: [nosuch.invalid], argv: [x]}]\n")
    told = sshjobs_cli("run", "-", "--json", "--hosts", "localhost,nosuch.invalid", "--ssh-config", "/dev/null",
                       "--slots", "2", input=jobfile)
    seen = check(json.loads(line) for line in told.stdout.splitlines())
    assert seen == {"run", "host", "launch", "started", "retry", "done", "error", "wait", "end"}


def test_the_page_knows_every_event_that_a_run_can_tell() -> None:
    sources = [path.read_text(encoding="utf-8") for path in (PAGE.parents[1] / "sshjobs/running").rglob("*.py")]
    told = {word for source in sources for word in re.findall(r'"event": "(\w+)"', source)}
    # Those of a job are named after its state.
    told |= {"done", "error", "started", "retry", "unknown"}
    assert told == set(documented())
