"""GPUs, from the jobfile to the environment of jobs, on hosts whose tools print what real ones have printed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sshjobs.errors import EXIT_JOBS_FAILED, EXIT_OK, EXIT_USAGE
from tests.cli.test_run import events
from tests.conftest import SshjobsCli
from tests.gjob.client import eventually
from tests.lab import BaseLab, LabHost
from tests.smi import RECORDED, Smi, cards, gpu


@pytest.fixture
def smi(tmp_path: Path) -> Smi:
    """Two cards on this machine."""
    return Smi(tmp_path / "smi", cards(2))


def environ(smi: Smi) -> dict[str, str]:
    return {"PATH": f"{smi.path}:{os.environ['PATH']}"}


def ends(stdout: str) -> dict[str, dict[str, Any]]:
    return {str(event["job"]): event for event in events(stdout) if event.get("outcome")}


def test_jobs_side_by_side_get_different_gpus(sshjobs_cli: SshjobsCli, tmp_path: Path, smi: Smi) -> None:
    """Each job notes what it has for as long as it has it; two that have one GPU find each other's note."""
    script = 'mkdir "$LEDGER/$SSHJOBS_GPUS"; echo "$CUDA_VISIBLE_DEVICES"; sleep 0.05; rmdir "$LEDGER/$SSHJOBS_GPUS"'
    jobs = {"jobs": [{"name": "fit", "repeat": 8, "gpus": 1, "env": {"LEDGER": str(tmp_path)}, "commands": script},
                     {"name": "plain", "repeat": 4, "commands": 'test -z "$SSHJOBS_GPUS"'}]}
    told = sshjobs_cli("run", "-", "--hosts", "localhost slots=4", "--name", "r", input=json.dumps(jobs), env=environ(smi))
    assert told.returncode == EXIT_OK, told.stderr
    seen = Counter((tmp_path / f"results/r/jobs/fit-{number}/stdout").read_text() for number in range(1, 9))
    assert set(seen) == {f"{gpu(0)}\n", f"{gpu(1)}\n"}
    status = json.loads(sshjobs_cli("status", "r", "--json").stdout)
    given = {job["name"]: job["attempts"][-1].get("gpus") for job in status["jobs"]}
    assert given["plain-1"] is None and given["fit-1"] in ([gpu(0)], [gpu(1)])


def test_two_runs_never_have_one_gpu_at_the_same_time(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    smi = Smi(tmp_path / "one", cards(1))
    script = f'mkdir "{tmp_path}/$SSHJOBS_GPUS"; sleep 0.05; rmdir "{tmp_path}/$SSHJOBS_GPUS"'
    (tmp_path / "jobs.json").write_text(json.dumps({"jobs": [{"name": "fit", "repeat": 4, "gpus": 1, "commands": script}]}))
    for name in ("a", "b"):
        assert sshjobs_cli("run", "jobs.json", "--hosts", "localhost slots=2", "--name", name, "--detach", env=environ(smi)).returncode == EXIT_OK
    for name in ("a", "b"):
        told = sshjobs_cli("attach", name)
        assert told.returncode == EXIT_OK, told.stdout + told.stderr


def test_a_job_waits_for_the_gpu_of_somebody_else_and_says_for_whom(sshjobs_cli: SshjobsCli,
                                                                    tmp_path: Path, smi: Smi) -> None:
    with subprocess.Popen(["sleep", "600"]) as stranger:
        try:
            smi.says("apps", f"{gpu(0)}, {stranger.pid}\n{gpu(1)}, {stranger.pid}\n")
            jobs = {"jobs": [{"name": "fit", "gpus": 1, "commands": "true"}, {"name": "plain", "commands": "true"}]}
            (tmp_path / "jobs.json").write_text(json.dumps(jobs))
            assert sshjobs_cli("run", "jobs.json", "--hosts", "localhost slots=2", "--name", "r", "--detach", env=environ(smi)).returncode == EXIT_OK

            def told() -> bool:
                return re.search(rf"^fit .* waits for localhost: GPU 0 is in use: \S+, pid {stranger.pid}, since 20",
                                 sshjobs_cli("status", "r").stdout, re.MULTILINE) is not None

            eventually(told, "the words for whom it waits")
            why = json.loads(sshjobs_cli("why", "r", "fit", "--json").stdout)["jobs"][0]["waits"]
            assert why["for"] == "needs" and re.match(rf"waits for localhost: GPU 0 is in use: \S+, pid {stranger.pid}, since 20", why["words"])
            smi.says("apps", "")
            assert sshjobs_cli("attach", "r").returncode == EXIT_OK
        finally:
            stranger.kill()


@pytest.mark.parametrize(("keys", "place", "said"), [
    ("gpus: -1", "jobs.yaml:1:35", "gpus must be a whole number from 1 to 256, got -1"),
    ("gpus: {count: 0}", "jobs.yaml:1:43", "gpus count must be a whole number from 1 to 256, got 0; leave the key out for none"),
    ("gpus: {number: 1}", "jobs.yaml:1:36", "gpus has no 'number'; there are count, memory and type"),
    ("gpus: {memory: 8 potatoes}", "jobs.yaml:1:44", "gpus memory must be a size, got '8 potatoes'; write 512M or 4G")])
def test_what_gpus_cannot_be_is_told_with_its_place(sshjobs_cli: SshjobsCli, tmp_path: Path, keys: str, place: str, said: str) -> None:
    (tmp_path / "jobs.yaml").write_text(f"jobs: [{{argv: [x], name: j, {keys}}}]\n")
    told = sshjobs_cli("run", "jobs.yaml", "--hosts", "localhost")
    assert (told.returncode, told.stdout) == (EXIT_USAGE, "")
    assert place in told.stderr and said in told.stderr, told.stderr


def test_a_host_that_its_file_says_has_none_is_not_for_jobs_with_gpus(sshjobs_cli: SshjobsCli, tmp_path: Path, smi: Smi) -> None:
    (tmp_path / "hosts.txt").write_text("one gpus=0\nlocalhost gpus=0,1\n")
    (tmp_path / "jobs.yaml").write_text("jobs: [{name: fit, argv: [x], gpus: 2}, {name: plain, argv: [x]}]\n")
    told = sshjobs_cli("run", "jobs.yaml", "--hosts", "hosts.txt", "--dry-run")
    assert told.stdout.splitlines()[:2] == ["fit on localhost: x", "plain on any of 2 hosts: x"], told.stderr
    (tmp_path / "jobs.yaml").write_text("jobs: [{name: fit, argv: [x], gpus: 3}]\n")
    for words in (["run", "--dry-run"], ["plan"], ["run"]):
        told = sshjobs_cli(*words, "jobs.yaml", "--hosts", "hosts.txt")
        assert (told.returncode, told.stderr) == (EXIT_USAGE, (
            "sshjobs: fit: no host has what it needs (gpus: 3): localhost, the nearest, has 2 such GPUs (gpus= says so); "
            "lower its needs, or name a host that has more\n"))


def test_a_type_that_no_host_has_is_told_before_anything_starts_with_what_the_nearest_has_and_the_others_run(
        sshjobs_cli: SshjobsCli, smi: Smi) -> None:
    jobs = {"jobs": [{"name": "any", "argv": ["true"]}, {"name": "plain", "gpus": {"type": "a100"}, "argv": ["true"]},
                     {"name": "fit", "gpus": {"type": "h100"}, "argv": ["true"]}]}
    told = sshjobs_cli("run", "-", "--hosts", "localhost", "--json", input=json.dumps(jobs), env=environ(smi))
    assert told.returncode == EXIT_JOBS_FAILED
    found = ends(told.stdout)
    assert found["plain"]["outcome"] == "succeeded" and found["fit"]["outcome"] == "skipped"
    assert found["fit"]["reason"] == ("no host has what it needs (gpus: {type: h100}): localhost, the nearest, has no such GPU "
                                      "(it has 2 × NVIDIA A100-SXM4-40GB (40G))")
    assert next(event for event in events(told.stdout) if event.get("job"))["job"] == "fit"


def test_nobody_waits_for_ever_for_a_host_that_does_not_tell_of_its_gpus(sshjobs_cli: SshjobsCli, smi: Smi) -> None:
    jobs = {"jobs": [{"name": "any", "argv": ["true"]}, {"name": "fit", "gpus": {"type": "h100"}, "argv": ["true"]}]}
    (smi.directory / "hang").touch()
    told = sshjobs_cli("run", "-", "--hosts", "localhost", "--json", "--name", "r", input=json.dumps(jobs), env=environ(smi))
    found = ends(told.stdout)
    assert found["any"]["outcome"] == "succeeded" and found["fit"]["outcome"] == "skipped"


def test_a_gpu_that_fails_is_set_aside_and_its_job_runs_on_the_other(sshjobs_cli: SshjobsCli, tmp_path: Path, smi: Smi) -> None:
    """The first job that gets GPU 0 finds it gone."""
    (smi.directory / "gone").write_text(f"1, {gpu(1)}, NVIDIA A100-SXM4-40GB, 40960, 0, [N/A]\n")
    script = [f'if [ "$SSHJOBS_GPUS" = {gpu(0)} ]; then cp {smi.directory}/gone {smi.directory}/mig; exit 1; fi']
    jobs = {"jobs": [{"name": "fit", "repeat": 3, "gpus": 1, "commands": script}]}
    told = sshjobs_cli("run", "-", "--hosts", "localhost slots=1", "--name", "r", input=json.dumps(jobs), env=environ(smi))
    assert told.returncode == EXIT_OK, told.stdout + told.stderr
    status = json.loads(sshjobs_cli("status", "r", "--json").stdout)
    attempts = [attempt for job in status["jobs"] for attempt in job["attempts"]]
    assert sorted(attempt["gpus"] for attempt in attempts) == [[gpu(0)], [gpu(1)], [gpu(1)], [gpu(1)]]


def test_hosts_check_shows_each_gpu_and_who_uses_it(sshjobs_cli: SshjobsCli, smi: Smi) -> None:
    with subprocess.Popen(["sleep", "600"]) as stranger:
        try:
            smi.says("apps", f"{gpu(1)}, {stranger.pid}\n")
            told = sshjobs_cli("hosts", "check", "--hosts", "localhost", env=environ(smi))
            assert "(0: NVIDIA A100-SXM4-40GB, 40.0 GiB, free; 1: NVIDIA A100-SXM4-40GB, 40.0 GiB, in use: " in told.stdout
            assert f"pid {stranger.pid}, since 20" in told.stdout
            found = json.loads(sshjobs_cli("hosts", "check", "--hosts", 'localhost gpus=gpu1', "--json", env=environ(smi)).stdout.splitlines()[0])
            assert [(unit["uuid"], unit["given"], unit["in_use"] is None) for unit in found["gpu_units"]] == [
                (gpu(0), False, True), (gpu(1), True, False)]
        finally:
            stranger.kill()


def test_hosts_check_says_in_a_line_what_is_wrong_with_a_tool(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    smi = Smi(tmp_path / "smi", RECORDED["not allowed"].files)
    told = sshjobs_cli("hosts", "check", "--hosts", "localhost", env=environ(smi))
    assert told.returncode == EXIT_OK and "; nvidia-smi: Failed to initialize NVML: Insufficient Permissions\n" in told.stdout


def test_jobs_without_gpus_ask_no_tool(sshjobs_cli: SshjobsCli, smi: Smi) -> None:
    told = sshjobs_cli("run", "-", "--hosts", "localhost slots=2", input='{"jobs": [{"commands": "true", "repeat": 20}]}', env=environ(smi))
    assert told.returncode == EXIT_OK and not [line for line in smi.asked() if line != "-L"]


@pytest.fixture
def gpu_hosts(lab: BaseLab, tmp_path: Path) -> Iterator[list[tuple[LabHost, Smi]]]:
    """Two hosts over ssh: one with two cards of NVIDIA's, one with two of AMD's."""
    made = []
    for host, (files, tool) in zip(lab.hosts, ((cards(2), "nvidia-smi"), (RECORDED["amd-smi, two of MI300X"].files, "amd-smi")), strict=False):
        smi = Smi(host.home / "smi", {**files, "process": "[]", "metric": "[]"}, tool)
        (host.home / ".bashrc").write_text("export PATH=$HOME/smi/bin:$PATH\n")
        for path in (host.home / ".bashrc", host.home / "smi", *(host.home / "smi").rglob("*")):
            path.chmod(0o777)
        made.append((host, smi))
    yield made
    for host, _ in made:
        shutil.rmtree(host.home / "smi")
        (host.home / ".bashrc").unlink()


def test_hosts_of_both_makers_serve_jobs_over_ssh(sshjobs_cli: SshjobsCli, lab: BaseLab, gpu_hosts: list[tuple[LabHost, Smi]],
                                                  tmp_path: Path) -> None:
    jobs = {"jobs": [{"name": "any", "repeat": 12, "gpus": 1, "commands": 'sleep 0.05; echo "${CUDA_VISIBLE_DEVICES-}|${ROCR_VISIBLE_DEVICES-}"'},
                     {"name": "large", "gpus": {"memory": "100G", "count": 2}, "commands": 'echo "$ROCR_VISIBLE_DEVICES"'}]}
    names = ",".join(f"{host.name} slots=4" for host, _ in gpu_hosts)
    told = sshjobs_cli("run", "-", "--hosts", names, "--ssh-config", lab.ssh_config, "--name", "r", input=json.dumps(jobs))
    assert told.returncode == EXIT_OK, told.stdout + told.stderr
    seen = {(tmp_path / f"results/r/jobs/any-{number}/stdout").read_text() for number in range(1, 13)}
    assert seen <= {f"{gpu(0)}|\n", f"{gpu(1)}|\n", "|GPU-a32343daf897162a\n", "|GPU-9246f00000000001\n"} and len(seen) > 2
    assert (tmp_path / "results/r/jobs/large/stdout").read_text() == "GPU-a32343daf897162a,GPU-9246f00000000001\n"
