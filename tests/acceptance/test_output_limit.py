"""Outputs with a limit over real ssh: the very bytes of beginning and end, whoever dies, in every attempt."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
from pathlib import Path

from sshjobs import Builder, Run
from tests.conftest import cli_environment, sshjobs_argv
from tests.lab.waiting import wait_until

BYTES = random.Random(5).randbytes(300_000)
LIMIT = 1001
KEPT = BYTES[:501] + BYTES[-500:]
LEFT_OUT = {"at": 501, "out": len(BYTES) - LIMIT, "err": 0}

JOBS = {"defaults": {"output_limit": LIMIT, "files": ["data"]}, "jobs": [
    {"name": "binary", "commands": "cat data"},
    {"name": "again", "retries": 1, "commands": ["cat data", "test $SSHJOBS_ATTEMPT = 2"]},
    {"name": "nothing", "output_limit": 0, "commands": ["cat data", "echo bad >&2"]},
    {"name": "one", "output_limit": "1", "commands": "cat data"},
    {"name": "short", "commands": "head -c 1001 data"},
    {"name": "all", "output_limit": "1M", "commands": "cat data"},
]}


def jobs_of(sshjobs_cli, run: str) -> dict[str, list[dict]]:
    return {job["name"]: job["attempts"] for job in json.loads(sshjobs_cli("status", run, "--json").stdout)["jobs"]}


def test_beginning_and_end_come_byte_for_byte_and_every_check_agrees(lab, sshjobs_cli, tmp_path):
    (tmp_path / "data").write_bytes(BYTES)
    (tmp_path / "jobs.yaml").write_text(json.dumps(JOBS))
    told = sshjobs_cli("run", "jobs.yaml", "--hosts", ",".join(lab.names[:2]), "--ssh-config", lab.ssh_config, "--name", "r")
    assert told.returncode == 0, told.stdout + told.stderr
    of = tmp_path / "results" / "r" / "jobs"
    assert (of / "binary" / "stdout").read_bytes() == KEPT
    assert (of / "again" / "stdout").read_bytes() == (of / "again" / "attempt-1" / "stdout").read_bytes() == KEPT
    assert [(of / "nothing" / name).read_bytes() for name in ("stdout", "stderr")] == [b"", b""]
    assert (of / "one" / "stdout").read_bytes() == BYTES[:1]
    assert (of / "short" / "stdout").read_bytes() == BYTES[:1001]
    assert (of / "all" / "stdout").read_bytes() == BYTES
    jobs = jobs_of(sshjobs_cli, "r")
    assert [attempt["left_out"] for attempt in jobs["again"]] == [LEFT_OUT, LEFT_OUT]
    assert jobs["nothing"][0]["left_out"] == {"at": 0, "out": len(BYTES), "err": 4}
    assert jobs["one"][0]["left_out"] == {"at": 1, "out": len(BYTES) - 1, "err": 0}
    assert "left_out" not in jobs["short"][0] and "left_out" not in jobs["all"][0]
    said = subprocess.run(sshjobs_argv(["logs", "r", "binary"]), cwd=tmp_path, env={**os.environ, **cli_environment()},
                          capture_output=True, check=True)
    assert said.stdout == KEPT
    assert said.stderr.decode() == "sshjobs: binary: 298,999 bytes of stdout left out behind the first 501 (output_limit)\n"
    verified = sshjobs_cli("verify", "r")
    assert verified.returncode == 0, verified.stdout
    # What another run takes over is told there, too.
    told = sshjobs_cli("run", "jobs.yaml", "--continue", "r", "--hosts", lab.names[0], "--ssh-config", lab.ssh_config, "--name", "s")
    assert told.returncode == 0, told.stdout + told.stderr
    assert jobs_of(sshjobs_cli, "s")["binary"][0]["left_out"] == LEFT_OUT


def test_after_the_manager_is_killed_the_rest_comes_at_the_very_byte(lab, sshjobs_cli, tmp_path):
    (tmp_path / "data").write_bytes(BYTES)
    flag = lab.hosts[0].home / "go-on"  # the job's ~
    flag.unlink(missing_ok=True)
    (tmp_path / "jobs.yaml").write_text(json.dumps({"jobs": [{
        "name": "x", "output_limit": LIMIT, "files": ["data"],
        "commands": ["head -c 400 data", "until [ -e ~/go-on ]; do sleep 0.05; done", "tail -c +401 data"]}]}))
    manager = subprocess.Popen(
        sshjobs_argv(["run", "jobs.yaml", "--hosts", lab.names[0], "--ssh-config", lab.ssh_config, "--name", "r"]),
        cwd=tmp_path, env={**os.environ, **cli_environment()}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    stdout = tmp_path / "results" / "r" / "jobs" / "x" / "stdout"
    try:
        wait_until(lambda: stdout.exists() and stdout.stat().st_size == 400, 30, "the first bytes to be here")
        manager.send_signal(signal.SIGKILL)
    finally:
        manager.kill()
        manager.wait()
    flag.touch()
    done = sshjobs_cli("resume", "r")
    assert done.returncode == 0, done.stdout + done.stderr
    assert stdout.read_bytes() == KEPT
    assert jobs_of(sshjobs_cli, "r")["x"][0]["left_out"] == LEFT_OUT
    assert sshjobs_cli("verify", "r").returncode == 0


def test_exec_prints_what_was_kept_and_says_the_rest_apart(lab, sshjobs_cli, tmp_path):
    for way in ("grouped", "line", "ordered"):
        told = sshjobs_cli("exec", "--hosts", lab.names[0], "--ssh-config", lab.ssh_config, "--output-limit", "4", "--output", way,
                           "seq {}", ":::", "5", "1")
        assert told.returncode == 0, told.stderr
        # As jobs end, or in their order.
        assert told.stdout in ("1\n5\n1\n", "1\n1\n5\n"), told.stdout
        assert told.stderr.count("6 bytes of stdout left out behind the first 2 (output_limit)") == 1
    told = sshjobs_cli("exec", "--output-limit", "some", "true")
    assert told.returncode == 2 and "output_limit must be a size, got 'some'; write 64K or 10M" in told.stderr


def test_from_python(lab, tmp_path: Path, monkeypatch, clean_home):
    monkeypatch.chdir(tmp_path)
    specs = Builder().AddJob(["seq 1000", "echo ::result::", "echo a=1"], name="x", output_limit="10").MakeJobSpecs()
    run = Run.start(specs, [lab.names[0]], ssh_config=lab.ssh_config)
    assert run.wait() == 0
    [job] = run.jobs
    assert job.stdout.read_bytes() == b"1\n2\n3" + b"\na=1\n"
    assert job.left_out == (5, 3893 + len("::result::\na=1\n") - 10, 0) and job.left_out.of("stdout") == job.left_out.out
    assert job.result == {"a": 1}
