"""What holds for every command: errors are one line and an exit code, and what is not needed is not loaded."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from sshjobs import __version__
from sshjobs.cli.app import COMMANDS, root
from sshjobs.errors import EXIT_INTERRUPTED, EXIT_USAGE
from tests.cli.runs import make_run
from tests.conftest import SshjobsCli, cli_environment

HEAVY = ("pydantic", "fabric", "paramiko", "ClusterShell", "yaml", "rich", "asyncio")


def loaded(*arguments: str, cwd: Path) -> set[str]:
    """Return the modules that a command line loads."""
    program = ("import sys; from sshjobs.cli import main; sys.argv[0] = 'sshjobs'; code = main(sys.argv[1:]); "
               "print(*sys.modules, file=sys.stderr); sys.exit(code)")
    told = subprocess.run([sys.executable, "-c", program, *arguments], cwd=cwd, capture_output=True, text=True,
                          env={**os.environ, **cli_environment()}, timeout=60, check=True)
    return set(told.stderr.split())


def test_help_loads_few_modules_beyond_those_of_python(tmp_path: Path) -> None:
    bare = subprocess.run([sys.executable, "-c", "import sys; print(*sys.modules)"], capture_output=True, text=True,
                          timeout=60, check=True, cwd=tmp_path)
    more = loaded("--help", cwd=tmp_path) - set(bare.stdout.split())
    assert len(more) <= 90, sorted(more)
    assert "importlib.metadata" not in more


@pytest.mark.parametrize("arguments", [["--help"], ["version"], ["run", "--help"], ["status", "r"],
                                       ["status", "r", "--json"], ["logs", "r", "sim-1"]])
def test_light_commands_load_nothing_heavy(tmp_path: Path, arguments: list[str]) -> None:
    make_run(tmp_path / "results", "r")
    assert loaded(*arguments, cwd=tmp_path) & set(HEAVY) == set()


def test_a_command_on_a_host_waits_for_nothing_heavy_to_load(tmp_path: Path) -> None:
    """What reads jobfiles and ranges of hosts takes longer to load than all else together."""
    there = loaded("exec", "-q", "--per-host", "--hosts", "localhost", "--transport", "local", "true", cwd=tmp_path)
    assert there & {*HEAVY, "importlib.metadata", "zoneinfo", "sshjobs.audit"} == {"asyncio"}


def test_the_overview_says_what_each_command_says_of_itself() -> None:
    import click

    for name, (short, _) in COMMANDS.items():
        command = root.get_command(click.Context(root), name)
        assert command is not None
        assert command.name == name
        assert command.help is not None and command.help.strip()
        assert len(short) <= 60


def test_version_is_printed_either_way(sshjobs_cli: SshjobsCli) -> None:
    for arguments in (["version"], ["--version"]):
        told = sshjobs_cli(*arguments)
        assert told.returncode == 0
        assert told.stdout + told.stderr == f"sshjobs {__version__}\n"


@pytest.mark.parametrize(("arguments", "complaint"), [
    (["rnu", "x.yaml"], "sshjobs: no command is called 'rnu'; did you mean run?\n"),
    (["jobs.yaml"], "sshjobs: no command is called 'jobs.yaml'; did you mean: sshjobs run jobs.yaml\n"),
    (["frobnicate"], f"sshjobs: no command is called 'frobnicate'; the commands are {', '.join(COMMANDS)}\n"),
    (["run"], "sshjobs: missing argument 'JOBFILE'; see: sshjobs run --help\n"),
    (["hosts"], "sshjobs: missing command; see: sshjobs hosts --help\n"),
])
def test_a_wrong_word_is_told_in_one_line(sshjobs_cli: SshjobsCli, arguments: list[str], complaint: str) -> None:
    told = sshjobs_cli(*arguments)
    assert (told.returncode, told.stdout, told.stderr) == (EXIT_USAGE, "", complaint)


def test_a_wrong_option_is_told_with_the_right_one(sshjobs_cli: SshjobsCli) -> None:
    told = sshjobs_cli("run", "x.yaml", "--host", "a")
    assert told.returncode == EXIT_USAGE
    assert "--hosts" in told.stderr
    assert told.stderr.count("\n") == 1


def test_without_words_the_help_is_shown_as_a_mistake(sshjobs_cli: SshjobsCli) -> None:
    told = sshjobs_cli()
    assert told.returncode == EXIT_USAGE
    assert told.stdout == ""
    assert "Commands:" in told.stderr


def test_an_unforeseen_failure_is_one_line_and_a_private_file(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    paths = make_run(tmp_path / "results", "r")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    # What nobody foresees is not easily had: here a module of ours is another one.
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "sitecustomize.py").write_text(
        "import sshjobs.store.reader as reader\n"
        "def summary(self): raise RuntimeError('two and two\\n\\x1b[31mis five')\n"
        "reader.RunReader.summary = summary\n")
    path = f"{broken}{os.pathsep}{cli_environment()['PYTHONPATH']}"
    told = sshjobs_cli("status", paths.name, env={"TMPDIR": str(scratch), "PYTHONPATH": path})
    assert told.returncode == 70
    assert "Traceback" not in told.stderr
    found = re.fullmatch(r"sshjobs: internal error: RuntimeError: two and two\\n\\x1b\[31mis five; details in (\S+)\n",
                         told.stderr)
    assert found is not None, told.stderr
    details = Path(found[1])
    assert details.parent == scratch
    assert stat.S_IMODE(details.stat().st_mode) == 0o600
    text = details.read_text()
    assert "Traceback" in text
    assert f"sshjobs {__version__}" in text


def test_a_reader_that_has_enough_is_no_error(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    make_run(tmp_path / "results", "r", [f"job-{n}" for n in range(5000)])
    command = f'"{sys.executable}" -m sshjobs status --json | head -n 1; echo "${{PIPESTATUS[0]}}"'
    told = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=60,
                          env={**os.environ, **cli_environment()}, check=True)
    assert told.stderr == ""
    assert told.stdout.splitlines()[-1] == "141"


def test_ctrl_c_is_one_word_and_130(tmp_path: Path, clean_home: Path) -> None:
    import signal

    make_run(tmp_path / "results", "r", attended=True)
    follower = subprocess.Popen([sys.executable, "-m", "sshjobs", "logs", "-f", "r", "sim-1"], cwd=tmp_path,
                                env={**os.environ, **cli_environment()}, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)
    try:
        assert follower.stderr is not None
        assert follower.stderr.readline() == "sshjobs: sim-1 waits for a host\n"
        follower.send_signal(signal.SIGINT)
        _, errors = follower.communicate(timeout=30)
    finally:
        follower.kill()
        follower.wait()
    # A signal in the midst of the line before may have that written once more.
    assert (follower.returncode, errors.splitlines()[-1]) == (EXIT_INTERRUPTED, "sshjobs: interrupted")
    assert set(errors.splitlines()[:-1]) <= {"sshjobs: sim-1 waits for a host"}


def test_names_that_the_terminal_cannot_show_are_escaped(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    make_run(tmp_path / "results", "r", ["größe", "red\x9b31m"])
    told = sshjobs_cli("status", "r", env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert told.returncode == 0
    assert "gr\\xf6\\xdfe" in told.stdout
    assert "red\\x9b31m" in told.stdout
