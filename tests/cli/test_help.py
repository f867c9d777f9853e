"""Help without a network: examples in every command, topics that say what the pages say, manual pages that man renders."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from sshjobs.cli import help as help_
from sshjobs.cli import topics
from sshjobs.cli.app import COMMANDS, commands, root
from sshjobs.cli.examples import EXAMPLES
from sshjobs.cli.manpages import pages
from sshjobs.model.states import STATES, Outcome
from tests.cli.here import call_here
from tests.hints import tries
from tests.house.source import ROOT


def rows(page: str, heading: str) -> dict[str, str]:
    """Return the first two columns of the table below a heading, without marks."""
    text = (ROOT / "docs" / page).read_text().partition(heading)[2].partition("\n## ")[0]
    found = re.findall(r"^ *\| (`[a-z_]+`|[0-9]+) \|(?: `\w+` \|)? (.*?) \|$", text, re.MULTILINE)
    return {name.strip("`"): said.replace("`", "").replace("\\|", "|") for name, said in found}


def test_every_command_has_examples_that_it_understands() -> None:
    known = dict(commands())
    assert set(known) <= set(EXAMPLES), "write some into sshjobs/cli/examples.py"
    for name, lines in ((name, EXAMPLES[name]) for name in known):
        for line, _ in lines:
            words = shlex.split(re.split(r" (?:&&|>) ", line)[0])
            assert words[:1 + len(name.split())] == ["sshjobs", *name.split()], line
            context: click.Context | None = None
            command: click.Command = root
            rest = words[1:]
            for word in name.split():
                context = click.Context(command, context, info_name="sshjobs")
                assert isinstance(command, click.Group)
                found = command.get_command(context, word)
                assert found is not None
                command, rest = found, rest[1:]
            command.make_context(name, rest, parent=context)


@pytest.mark.parametrize("words", [["run"], ["hosts", "drain"], ["cluster", "up"]])
def test_the_help_ends_with_them(words: list[str]) -> None:
    told = call_here(*words, "--help").stdout
    assert told.rstrip().split("\n  Examples:\n")[1].splitlines()[0].strip().startswith(f"sshjobs {' '.join(words)}")


def test_topics_say_what_the_pages_say() -> None:
    glossary = rows("glossary.md", "## Where a job stands")
    assert glossary == {**topics.STATES, **topics.OUTCOMES}
    assert list(topics.STATES) == ["free", "busy", "unknown", "done", "error"] and set(topics.STATES) == set(STATES)
    assert list(topics.OUTCOMES) == [str(outcome) for outcome in Outcome]
    assert rows("cli.md", "## Exit codes") == topics.EXIT_CODES


@pytest.mark.parametrize("topic", help_.ALL)
def test_a_topic_fits_a_terminal_and_needs_nothing_else(topic: str) -> None:
    told = call_here("help", topic)
    assert (told.returncode, told.stderr) == (0, "")
    assert max(map(len, told.stdout.splitlines())) <= (110 if topic != "agents" else 400)
    assert topic in call_here("help").stdout


@tries("did you mean: sshjobs help {}", "topics are {}", "topics, for sshjobs help TOPIC:", "commands: see sshjobs --help, and sshjobs help COMMAND")
def test_help_knows_commands_and_what_was_meant() -> None:
    assert call_here("help", "hosts", "check").stdout.startswith("Usage: sshjobs hosts check")
    assert call_here("help", "states").returncode == 0
    assert call_here("help", "state").stderr == "sshjobs: there is no help on 'state'; did you mean: sshjobs help states\n"
    assert call_here("help", "zzz").stderr.endswith("topics are states, exit-codes, jobfile, json, agents\n")
    assert "ok_exit" in call_here("help", "jobfile").stdout and "status" in call_here("help", "json").stdout


def test_the_page_for_coding_agents_is_made_from_the_help() -> None:
    page = (ROOT / "docs" / "SKILL.md").read_text()
    assert page == call_here("help", "agents").stdout, "renew it: sshjobs help agents > docs/SKILL.md"
    named = re.findall(r"`sshjobs ([a-z]+(?: [a-z]+)?)", page)
    known = dict(commands())
    assert all(words in known or words.split()[0] in COMMANDS or words.split()[0] == "help" for words in named)


def test_manual_pages_are_rendered_without_a_warning(tmp_path: Path) -> None:
    told = call_here("man", "--to", str(tmp_path / "man1"))
    names = {"sshjobs.1", *(f"sshjobs-{name.replace(' ', '-')}.1" for name, _ in commands())}
    assert told.stdout == f"wrote {len(names)} pages into {tmp_path / 'man1'}\n"
    assert {path.name for path in (tmp_path / "man1").iterdir()} == names
    if (groff := shutil.which("groff")) is None:
        pytest.skip("there is no groff here")
    done = subprocess.run([groff, "-man", "-ww", "-z", "-k", *sorted(map(str, (tmp_path / "man1").iterdir()))],
                          capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    shown = subprocess.run([groff, "-man", "-Tutf8", "-P-cbou", "-k", str(tmp_path / "man1" / "sshjobs-rm.1")], capture_output=True,
                           text=True, timeout=60, check=True).stdout
    assert all(words in shown for words in ("NAME", "--older TIME", "sshjobs rm 'exec-*'", "sshjobs-rm - Remove runs"))


@tries("see: sshjobs --help", "leave the command out")
def test_a_page_says_all_that_the_help_says() -> None:
    for name, text in pages():
        plain = text.replace("\\-", "-").replace("\\fB", "").replace("\\fR", "")
        if name == "sshjobs":
            assert all(f"\n{command}\n" in plain for command in COMMANDS)
            continue
        command = dict(commands())[name.removeprefix("sshjobs-")] if "-" not in name.removeprefix("sshjobs-") else None
        for param in command.params if command is not None else ():
            assert not isinstance(param, click.Option) or param.opts[-1] in plain, (name, param.opts)
    assert call_here("man", "rm").stdout == dict(pages())["sshjobs-rm"]
    assert call_here("man", "zzz").stderr == "sshjobs: there is no page on 'zzz'; see: sshjobs --help\n"
    told = call_here("man", "run", "--to", "x")
    assert (told.returncode, told.stderr) == (2, "sshjobs: --to writes all pages; leave the command out\n")
