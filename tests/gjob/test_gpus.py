"""GPUs on their host: found by the driver's tool, looked at right before a start, and given to one job at a time."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sshjobs.network import payload
from sshjobs.network.protocol import frames
from tests.gjob.client import FarHost, Link, alive, eventually
from tests.smi import LIES, RECORDED, Smi, cards, gpu

BUSY = 500 << 20
SHOW = 'echo "$SSHJOBS_GPUS|${CUDA_VISIBLE_DEVICES-none}|${ROCR_VISIBLE_DEVICES-none}"'


@pytest.fixture
def smi(far: FarHost, tmp_path: Path) -> Smi:
    """Give the host two cards."""
    return put(far, Smi(tmp_path / "smi", cards(2)))


def put(far: FarHost, smi: Smi) -> Smi:
    far.environ["PATH"] = f"{smi.path}:{os.environ['PATH']}"
    return smi


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has nothing to do with us."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


def told(link: Link) -> dict[str, Any]:
    """Return what the host tells next of its GPUs, which the near side takes."""
    frame = link.until("gpus")
    assert frames.parse_header(link.last) == frame
    return frame


def gpus(*numbers: int, busy: int = BUSY) -> dict[str, Any]:
    return {"uuids": [gpu(number) for number in numbers], "busy": busy}


def test_a_job_gets_its_gpus_in_its_environment_and_others_get_none(far: FarHost, smi: Smi) -> None:
    link = far.connect()
    assert far.welcome["gpu_tool"] == "nvidia-smi"
    link.run("1.1", script=SHOW, gpus=gpus(1), env={"CUDA_VISIBLE_DEVICES": "7"})
    link.run("2.1", script=SHOW, gpus=gpus(0, 1))
    link.run("3.1", script=SHOW)
    assert [link.stdout(uid).decode() for uid in ("1.1", "2.1", "3.1")] == [
        f"{gpu(1)}|{gpu(1)}|none\n", f"{gpu(0)},{gpu(1)}|{gpu(0)},{gpu(1)}|none\n", "|none|none\n"]


def test_the_variable_of_an_amd_card_is_that_of_rocm(far: FarHost, tmp_path: Path) -> None:
    put(far, Smi(tmp_path / "smi", RECORDED["amd-smi, two of MI300X"].files, "amd-smi"))
    link = far.connect()
    assert far.welcome["gpu_tool"] == "amd-smi"
    uuid = "GPU-9246f00000000001"
    link.run("1.1", script=SHOW, gpus={"uuids": [uuid], "busy": BUSY})
    assert link.stdout("1.1").decode() == f"{uuid}|none|{uuid}\n"


def test_a_host_tells_what_it_has_when_it_is_asked(far: FarHost, smi: Smi) -> None:
    link = far.connect()
    link.say("gpus")
    frame = told(link)
    assert frame["trouble"] is None
    assert [(unit["uuid"], unit["label"], unit["memory"], unit["used"], unit["by"]) for unit in frame["units"]] == [
        (gpu(0), "0", 40960 << 20, 0, None), (gpu(1), "1", 40960 << 20, 0, None)]


def test_a_gpu_with_a_strangers_process_is_told_with_user_pid_and_time_and_given_to_nobody(
        far: FarHost, smi: Smi, stranger: subprocess.Popen[bytes]) -> None:
    smi.says("apps", f"{gpu(1)}, {stranger.pid}\n")
    link = far.connect()
    link.launch("1.1", script="true", gpus=gpus(1))
    by = told(link)["units"][1]["by"]
    user = pwd.getpwuid(os.getuid()).pw_name
    assert by.startswith(f"{user}, pid {stranger.pid}, since 20")
    end = link.end_of("1.1")
    assert (end["why"], end["started"], end["msg"]) == ("gpu_taken", None, f"GPU 1 is in use: {by}")
    link.run("2.1", script="true", gpus=gpus(0))
    assert link.end_of("2.1")["why"] == "exited"
    smi.says("apps", "")
    assert link.run("1.2", script="true", gpus=gpus(1))["why"] == "exited"


def test_memory_in_use_of_nobody_who_is_shown_keeps_a_gpu_too(far: FarHost, tmp_path: Path) -> None:
    put(far, Smi(tmp_path / "smi", cards(2, used={0: 501, 1: 500})))
    link = far.connect()
    assert link.run("1.1", script="true", gpus=gpus(0))["msg"] == "GPU 0 is in use: 501 MiB of its memory, and no process is shown"
    assert link.run("2.1", script="true", gpus=gpus(1))["why"] == "exited"
    assert link.run("3.1", script="true", gpus=gpus(0, busy=600 << 20))["why"] == "exited"


def test_no_two_jobs_have_one_gpu_whatever_they_are_sent(far: FarHost, smi: Smi) -> None:
    link = far.connect(slots=4)
    link.launch("1.1", script="sleep 600", gpus=gpus(0))
    link.until("started", id="1.1")
    assert link.run("2.1", script="true", gpus=gpus(1, 0))["why"] == "gpu_taken"
    for uid in ("3.1", "4.1"):
        link.launch(uid, script="while [ ! -e ~/go ]; do sleep 0.01; done", gpus=gpus(1))
    ends = dict.fromkeys(("3.1", "4.1"))
    first = link.until("ended")
    assert first["why"] == "gpu_taken" and first["msg"] == f"GPU {gpu(1)} has another job of this run"
    (far.home / "go").touch()
    (other,) = ends.keys() - {first["id"]}
    assert link.end_of(other)["why"] == "exited"
    link.say("cancel", id="1.1", grace=0.1)
    link.end_of("1.1")


def test_a_process_of_the_job_itself_is_no_stranger(far: FarHost, smi: Smi) -> None:
    link = far.connect()
    link.launch("1.1", script="sleep 600", gpus=gpus(0))
    pid = link.until("started", id="1.1")["pid"]
    smi.says("apps", f"{gpu(0)}, {pid}\n")
    link.say("gpus")
    assert [unit["by"] for unit in told(link)["units"]] == [None, None]
    link.say("cancel", id="1.1", grace=0.1)
    link.end_of("1.1")


def test_other_jobs_start_while_gpus_are_looked_at(far: FarHost, smi: Smi) -> None:
    (smi.directory / "hang").touch()
    link = far.connect()
    link.launch("1.1", script="true", gpus=gpus(0))
    assert link.run("2.1", script="true")["why"] == "exited"
    assert not any(frame["t"] == "gpus" for frame in link.frames)


@pytest.fixture
def hasty(make_far: Callable[..., FarHost], tmp_path: Path) -> tuple[FarHost, Smi]:
    """A host that waits for its tool for a moment only."""
    modules = dict(payload.sources())
    name, old = "sshjobs.gjob.agent.gpus", "PATIENCE, _MOST_BYTES = 5.0, "
    assert old in modules[name]
    modules[name] = modules[name].replace(old, "PATIENCE, _MOST_BYTES = 0.3, ")
    far = make_far(payload.pack(modules))
    return far, put(far, Smi(tmp_path / "smi", cards(1)))


def test_a_tool_that_hangs_is_ended_and_the_host_goes_on(hasty: tuple[FarHost, Smi]) -> None:
    far, smi = hasty
    (smi.directory / "hang").touch()
    link = far.connect()
    end = link.run("1.1", script="true", gpus=gpus(0))
    assert (end["why"], end["msg"]) == ("gpu_taken", "nvidia-smi did not answer within 0 s")
    assert [frame["trouble"] for frame in link.frames if frame["t"] == "gpus"] == [end["msg"]]
    assert link.run("2.1", script="true")["why"] == "exited"
    (smi.directory / "hang").unlink()
    assert link.run("1.2", script="true", gpus=gpus(0))["why"] == "exited"
    link.say("bye")
    assert link.until("gone")["processes"] == 0
    eventually(lambda: not alive(far.agent), "the end of the agent")


@pytest.mark.parametrize(("files", "said"), [
    (LIES["below zero"].files, "nvidia-smi says what cannot be: memory.total '-5'"),
    ({"mig": "x" * (1 << 20)}, "nvidia-smi says more than 256 KiB"),
    (RECORDED["not allowed"].files, "nvidia-smi: Failed to initialize NVML: Insufficient Permissions"),
    ({"mig": "", "list": ""}, "nvidia-smi: it says nothing")], ids=["lie", "flood", "not allowed", "silence"])
def test_a_tool_that_is_of_no_use_is_told_in_a_line_and_the_host_goes_on(far: FarHost, tmp_path: Path, files: dict[str, str],
                                                                        said: str) -> None:
    put(far, Smi(tmp_path / "smi", files))
    link = far.connect()
    link.say("gpus")
    frame = told(link)
    assert (frame["units"], frame["trouble"]) == ([], said)
    assert link.run("1.1", script="true")["why"] == "exited"
    assert link.run("2.1", script="true", gpus=gpus(0))["msg"] == said


@pytest.mark.parametrize(("after", "said"), [
    ({"mig": f"0, {gpu(0)}, X, 40960, 0, [N/A]\n"}, f"{gpu(1)} has gone: the driver does not show it any more"),
    ({"mig": f"0, {gpu(0)}, X, 40960, 0, [N/A]\n1, {gpu(1)}, X, 40960, [GPU requires reset], [N/A]\n"},
     f"GPU 1 ({gpu(1)}): GPU requires reset"),
    ({"mig": "No devices were found\n", "mig.status": "6", "gpus": "No devices were found\n", "gpus.status": "6"},
     "nvidia-smi: No devices were found")], ids=["lost", "reset", "none left"])
def test_a_job_that_fails_as_its_gpu_does_has_failed_by_the_hosts_fault(far: FarHost, smi: Smi, after: dict[str, str],
                                                                        said: str) -> None:
    for name, text in after.items():
        (smi.directory / f"{name}.then").write_text(text)
    link = far.connect()
    script = f"cd {smi.directory}; for f in *.then; do mv $f ${{f%.then}}; done; exit 3"
    end = link.run("1.1", script=script, gpus=gpus(1))
    assert (end["why"], end["status"], end["msg"]) == ("gpu_failed", 3, f"{said} (the job ended with exit status 3)")


def test_a_gpu_that_a_job_of_another_run_is_on_is_waited_for_as_slots_are(
        make_far: Callable[..., FarHost], tmp_path: Path, stranger: subprocess.Popen[bytes]) -> None:
    one, other, smi = make_far(), make_far(), Smi(tmp_path / "smi", cards(2))
    other.environ["SSHJOBS_SHARED"] = str(one.shared)
    for far in (one, other):
        put(far, smi)
    first, second = one.connect(), other.connect()
    first.launch("1.1", script="exec sleep 600", gpus=gpus(0))
    pid = first.until("started", id="1.1")["pid"]
    smi.says("apps", f"{gpu(0)}, {pid}\n{gpu(1)}, {stranger.pid}\n")
    second.launch("1.1", script="true", gpus=gpus(0))
    assert [(unit["held"], unit["by"] is None) for unit in told(second)["units"]] == [(True, False), (False, False)]
    assert second.until("shared")["parts"] == [{"what": "gpus", "has": 0, "stalled": 0}]
    assert second.run("2.1", script="true", gpus=gpus(1))["why"] == "gpu_taken"
    smi.says("apps", "")
    os.kill(pid, signal.SIGKILL)
    assert second.end_of("1.1")["status"] == 0


#: Which GPU is where, and what follows, at a time of the log in microseconds.
_AT = f"6,101,1000,-;NVRM: GPU at PCI:0000:88:00: {gpu(1)}\n"
_FELL = "4,102,{},-;NVRM: Xid (PCI:0000:88:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.\n"


@pytest.mark.parametrize(("log", "said"), [
    (_AT + _FELL, f"GPU 1 ({gpu(1)}): Xid 79: pid='<unknown>', name=<unknown>, GPU has fallen off the bus."),
    (_AT + _FELL.replace(" 79,", " 31,"), None), (_AT + _FELL.replace("{}", "2000"), None),
    (_FELL, None), (_AT.replace("88", "89") + _FELL, None), (_AT + _FELL.replace("4,102", "12,102"), None), ("\0" * 99_999, None)],
    ids=["broken", "the program's fault", "before it began", "of which card", "of another card", "not by the kernel", "nonsense"])
def test_what_the_kernel_has_said_of_a_gpu_while_a_job_ran_tells_whose_fault_it_was(
        make_far: Callable[..., FarHost], tmp_path: Path, log: str, said: str | None) -> None:
    modules = dict(payload.sources())
    name, old = "sshjobs.gjob.agent.xids", '"/dev/kmsg"'
    assert old in modules[name]
    modules[name] = modules[name].replace(old, repr(str(tmp_path / "kmsg")))
    far = make_far(payload.pack(modules))
    put(far, Smi(tmp_path / "smi", cards(2)))
    link = far.connect()
    # Where the kernel lets nobody read its log, nothing follows from it.
    assert link.run("1.1", script="exit 3", gpus=gpus(0, 1))["why"] == "exited"
    (tmp_path / "kmsg").write_text(log.replace("{}", str(time.monotonic_ns() // 1000)))
    end = link.run("2.1", script="exit 3", gpus=gpus(0, 1))
    assert (end["why"], end["msg"]) == (("exited", None) if said is None else (
        "gpu_failed", f"{said} (the job ended with exit status 3)"))
    assert [unit["trouble"] is None for unit in [frame for frame in link.frames if frame["t"] == "gpus"][-1]["units"]] == [
        True, said is None]


def test_a_job_that_fails_while_its_gpu_is_well_has_failed_by_itself(far: FarHost, smi: Smi) -> None:
    link = far.connect()
    end = link.run("1.1", script="exit 3", gpus=gpus(1))
    assert (end["why"], end["status"]) == ("exited", 3)
    asked = len(smi.asked())
    assert link.run("2.1", script="exit 0", gpus=gpus(1))["status"] == 0
    assert len(smi.asked()) == asked + 3, "after a success nobody looks"


def test_a_host_without_a_tool_says_so(far: FarHost) -> None:
    far.environ["PATH"] = "/usr/bin:/bin"
    link = far.connect()
    if far.welcome["gpu_tool"] is not None:
        pytest.skip("this machine has one of its own")
    link.say("gpus")
    assert told(link)["trouble"] == "there is no nvidia-smi, amd-smi or rocm-smi"
