"""``sshjobs exec``: a real run, whose outputs are printed."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sshjobs.store import RunReader
from sshjobs.store.rundir import RunPaths
from tests.cli.terminal import Terminal, plain
from tests.conftest import SshjobsCli, cli_environment, sshjobs_argv
from tests.lab import BaseLab
from tests.lab.waiting import wait_until


@contextmanager
def started(words: Sequence[str], where: Path, **more: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Start our command and see to its end."""
    process = subprocess.Popen(sshjobs_argv(words), cwd=where, env={**os.environ, **cli_environment()},
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def status_of(cli: SshjobsCli, *run: str) -> Mapping[str, Any]:
    """Return what ``status --json`` says."""
    told: Mapping[str, Any] = json.loads(cli("status", "--json", *run).stdout)
    return told


def test_it_is_a_run_like_any_other(lab: BaseLab, sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    hosts = ",".join(host.name for host in lab.hosts[:2])
    line = 'echo {} on $SSHJOBS_HOST; echo "e{#}" >&2; exit {2}'
    told = sshjobs_cli("exec", "--hosts", hosts, "--ssh-config", lab.ssh_config, "-k", "--", line,
                       ":::", "it's", "$(id)", ":::", "0", "3")
    lines = told.stdout.splitlines()
    assert [text.partition(" on node")[0] for text in lines] == ["it's 0", "it's 3", "$(id) 0", "$(id) 3"]
    assert told.returncode == 1
    # Standard error holds what the jobs wrote there, and what there is to say about those that failed.
    for wanted in ("e1\n", "e4\n", "error  2-it_s_3 on node", "exec-1 failed: 2 done, 2 error of 4 jobs"):
        assert wanted in told.stderr
    status = status_of(sshjobs_cli)
    assert (status["run"], status["state"]) == ("exec-1", "failed")
    assert [job["name"] for job in status["jobs"]] == ["1-it_s_0", "2-it_s_3", "3-id_0", "4-id_3"]
    assert sshjobs_cli("logs", "exec-1", "3-id_0").stdout == lines[2] + "\n"


def test_each_host_runs_it_and_the_tag_says_which(lab: BaseLab, sshjobs_cli: SshjobsCli) -> None:
    # Nobody writes to standard input, and that is no reason to wait for it.
    names = [host.name for host in lab.hosts[:2]]
    told = sshjobs_cli("exec", "--hosts", ",".join(names), "--ssh-config", lab.ssh_config, "--per-host", "-k", "--tag",
                       "echo", "$SSHJOBS_HOST", "a", input="not read\n")
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout == "".join(f"{name}\t$SSHJOBS_HOST a\n" for name in names)


def test_options_of_jobs_reach_them(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a b.txt").write_text("content\n")
    line = ('cat {}; cat; echo "$ONE/$TWO/$(nice)"; [ "$SSHJOBS_ATTEMPT" = 2 ] && false | cat && '
            'echo "attempt $SSHJOBS_ATTEMPT, job $SSHJOBS_INDEX"')
    told = sshjobs_cli("exec", "-j", "1", "--send", "{}", "--stdin", "in/{/}", "--env", "ONE=a=b", "--env", "TWO",
                       "--nice", "3", "--retries", "1", "--timeout", "30s", "--lease", "30m", "--", line, ":::", "in/a b.txt",
                       env={"TWO": "$HOME"})
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout == f"content\ncontent\na=b/$HOME/{min(19, os.nice(0) + 3)}\nattempt 2, job 1\n"
    with RunReader.open(RunPaths(tmp_path / "results", "exec-1")) as reader:
        (job,) = reader.load(row.name for row in reader.jobs())
    assert (job.spec.lease, job.spec.timeout, job.spec.retries) == (1800.0, 30.0, 1)
    told = sshjobs_cli("exec", "--cwd", "/usr", "--strict", "--", "pwd; false | cat; echo {}", ":::", "not reached")
    assert (told.returncode, told.stdout) == (1, "/usr\n")


def test_values_come_from_standard_input_line_by_line_or_nul_by_nul(sshjobs_cli: SshjobsCli) -> None:
    told = sshjobs_cli("exec", "-k", "printf", "<%s>", input="a b\n\n$(id)\nlast")
    assert (told.returncode, told.stdout, told.stderr) == (0, "<a b><><$(id)><last>", "")
    told = sshjobs_cli("exec", "-0", "-k", "printf", "<%s>", input="a\nb\0c\0")
    assert told.stdout == "<a\nb><c>"


def test_no_values_are_no_jobs_and_no_failure(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    told = sshjobs_cli("exec", "echo", input="")
    assert (told.returncode, told.stdout) == (0, "")
    assert told.stderr == "sshjobs: there are no values, so nothing was run\n"
    assert not (tmp_path / "results").exists()


def test_a_dry_run_prints_lines_for_a_shell_and_starts_nothing(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    told = sshjobs_cli("exec", "--dry-run", "--", 'echo {} > "{2}.out"', ":::", "a b", ":::", "$x")
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout == "echo 'a b' '$x' > \"\"'$x'\".out\"\n"
    assert not (tmp_path / "results").exists()


def test_a_killed_one_is_resumed_and_starts_nothing_twice(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    line = f"echo {{}} >> {tmp_path}/ledger; until [ -e {tmp_path}/go ]; do sleep 0.05; done; echo out {{}}"
    with started(["exec", "-j", "2", "--name", "mine", "--", line, ":::", "a", "b", "c"], tmp_path) as process:
        wait_until(lambda: (tmp_path / "ledger").exists() and (tmp_path / "ledger").read_text().count("\n") == 2, 30,
                   "two jobs to run")
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    (tmp_path / "go").touch()
    told = sshjobs_cli("resume", "mine")
    assert told.returncode == 0, told.stderr
    assert sorted((tmp_path / "ledger").read_text().split()) == ["a", "b", "c"]
    assert [sshjobs_cli("logs", "mine", f"{n}-{value}").stdout for n, value in ((1, "a"), (3, "c"))] == [
        "out a\n", "out c\n"]


def test_ctrl_c_ends_it_with_130(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    line = f"touch {tmp_path}/runs; until [ -e {tmp_path}/go ]; do sleep 0.05; done; echo {{}}"
    with started(["exec", "-j", "1", "--", line, ":::", "a", "b"], tmp_path) as process:
        wait_until(lambda: (tmp_path / "runs").exists(), 30, "the first job to run")
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert b"launching nothing more" in process.stderr.readline()
        (tmp_path / "go").touch()
        out, _ = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, b"a\n")
    assert status_of(sshjobs_cli)["counts"]["free"] == 1


def test_lines_are_seen_while_the_job_runs(tmp_path: Path, clean_home: Path) -> None:
    line = f"echo begun; until [ -e {tmp_path}/go ]; do sleep 0.05; done; printf end"
    with started(["exec", "--output", "line", "--tag", "--", f"{line} #{{}}", ":::", "x"], tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"x\tbegun\n"
        (tmp_path / "go").touch()
        assert process.stdout.read() == b"x\tend"
        assert process.wait(30) == 0


def test_a_large_output_takes_no_memory_and_keeps_every_byte(tmp_path: Path, clean_home: Path) -> None:
    size = 96 * 2**20
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    command = " ".join([*(f"'{word}'" for word in sshjobs_argv(["exec", f"head -c {size} /dev/zero; printf {{}}"])),
                        "::: end | tail -c +2 | md5sum"])
    told = subprocess.run(["bash", "-c", command], cwd=tmp_path, env={**os.environ, **cli_environment()},
                          capture_output=True, text=True, timeout=60, check=True)
    wanted = subprocess.run(["bash", "-c", f"{{ head -c {size - 1} /dev/zero; printf end; }} | md5sum"],
                            capture_output=True, text=True, timeout=60, check=True)
    assert told.stdout == wanted.stdout
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert peak == before or peak < 80 * 2**10, f"{peak} KiB"


def test_a_reader_that_has_enough_does_not_end_the_run(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    command = " ".join([*(f"'{word}'" for word in sshjobs_argv(["exec", "-k", "-j", "1", "seq 20000; echo {}"])),
                        "::: a b c | head -n 1"])
    told = subprocess.run(["bash", "-c", command], cwd=tmp_path, env={**os.environ, **cli_environment()},
                          capture_output=True, text=True, timeout=60, check=True)
    assert (told.stdout, told.stderr) == ("1\n", "")
    assert status_of(sshjobs_cli)["counts"]["done"] == 3


def test_a_terminal_is_shown_no_control_characters_unless_it_is_wanted(tmp_path: Path, clean_home: Path) -> None:
    words = ["exec", "--", r"printf '\033[31mred\n'; echo {}", ":::", "a"]
    with Terminal(sshjobs_argv(words), tmp_path) as terminal:
        assert plain(terminal.read_to_end()) == "\\x1b[31mred\na\n"
    with Terminal(sshjobs_argv(["exec", "--raw", *words[1:]]), tmp_path) as terminal:
        assert "\x1b[31mred" in terminal.read_to_end()


def test_run_prints_outputs_too(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    (tmp_path / "jobs.yaml").write_text(
        "jobs: [{name: slow, commands: [sleep 0.3, echo 1]}, {name: b, commands: echo 2}]")
    told = sshjobs_cli("run", "jobs.yaml", "--output", "ordered", "--tag", "-j", "2")
    assert (told.returncode, told.stdout, told.stderr) == (0, "slow\t1\nb\t2\n", "")


def test_events_can_be_had_instead_of_outputs(sshjobs_cli: SshjobsCli) -> None:
    told = sshjobs_cli("exec", "--json", "echo", ":::", "a")
    events = [json.loads(line) for line in told.stdout.splitlines()]
    assert [event["event"] for event in events if event.get("job") == "1-a"][-1] == "done"
    assert events[-1]["event"] == "end"
