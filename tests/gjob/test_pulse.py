"""The pulse: what a host says of itself once a minute."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sshjobs.network import payload
from sshjobs.network.protocol import frames
from tests.gjob.client import FarHost, Link, alive, encode, eventually
from tests.lab import disks

SMI = """#!/bin/sh
echo "$$ $*" >> {log}
case "$*" in
  -L) echo "GPU 0: NVIDIA H200 (UUID: GPU-1)"; echo "GPU 1: NVIDIA H200 (UUID: GPU-2)";;
  *) {answer};;
esac
"""


def quick(pulse: str) -> bytes:
    """Return the modules with other times."""
    modules = dict(payload.sources())
    every = "EVERY, GPU_EVERY, GPU_PATIENCE = "
    for name, old, new in (("pulse", every + "60.0, 60.0, 3.0", every + pulse), ("agent", "FIRST_PULSE = 2.0", "FIRST_PULSE = 0.1")):
        assert old in modules[f"sshjobs.gjob.agent.{name}"]
        modules[f"sshjobs.gjob.agent.{name}"] = modules[f"sshjobs.gjob.agent.{name}"].replace(old, new)
    return payload.pack(modules)


def with_gpus(far: FarHost, tmp_path: Path, answer: str) -> Path:
    """Give a host an nvidia-smi; return the file in which it notes its pid and what it was asked."""
    tools, log = tmp_path / "tools", tmp_path / "asked"
    tools.mkdir()
    (tools / "nvidia-smi").write_text(SMI.format(log=log, answer=answer))
    (tools / "nvidia-smi").chmod(0o755)
    far.environ["PATH"] = f"{tools}:{os.environ['PATH']}"
    return log


def pulse(link: Link) -> dict[str, Any]:
    """Return the next pulse, which the near side takes."""
    frame = link.until("pulse")
    assert frames.parse_header(link.last) == frame
    return frame


def test_a_host_tells_how_it_fares_and_what_its_jobs_take(make_far: Callable[..., FarHost]) -> None:
    far = make_far(quick("0.2, 0.2, 0.1"))
    link = far.connect()
    link.launch("1.1", script="(while :; do :; done) & dd if=/dev/zero of=/dev/null bs=32M count=1 2>/dev/null; wait")
    link.until("started", id="1.1")

    def busy() -> bool:
        told = pulse(link)
        assert told["load"] is not None and told["memory"] and told["disk"] is not None and told["gpus"] == []
        use = dict(zip(told["ids"], zip(told["cpu"], told["rss"], strict=True), strict=True))
        return "1.1" in use and use["1.1"][0] >= 0.3 and use["1.1"][1] > 1024

    eventually(busy, "the CPU of the job's child")
    link.say("cancel", id="1.1", grace=0.1)
    link.end_of("1.1")


def test_no_pulse_comes_while_a_link_is_new(far: FarHost) -> None:
    link = far.connect()
    for n in range(1, 4):
        link.run(f"{n}.1", "/bin/true")
    assert not any(frame["t"] == "pulse" for frame in link.frames)


def test_gpus_are_asked_after_and_what_is_not_available_is_left_open(make_far: Callable[..., FarHost],
                                                                     tmp_path: Path) -> None:
    far = make_far(quick("0.4, 0.4, 0.2"))
    log = with_gpus(far, tmp_path, "echo '37, 1024'; echo '[N/A], [N/A]'; echo 'Error: what'")
    link = far.connect()
    if far.welcome["gpus"] != ["NVIDIA H200", "NVIDIA H200"]:
        pytest.skip("this machine has GPUs of its own")
    eventually(lambda: pulse(link)["gpus"] == [37, None], "the use of GPUs")
    assert link.frames[-1]["gpu_memory"] == [1 << 30, None]
    link.say("bye")
    assert link.until("gone")["processes"] == 0
    assert {line.split(maxsplit=1)[1] for line in log.read_text().splitlines()} == {
        "-L", "--query-gpu=utilization.gpu,memory.used --format=csv,noheader,nounits"}


def test_gpus_are_asked_once_a_minute_however_often_the_link_breaks(make_far: Callable[..., FarHost],
                                                                    tmp_path: Path) -> None:
    far = make_far(quick("0.3, 60.0, 0.1"))
    log = with_gpus(far, tmp_path, "echo '37, 1024'")
    for epoch in (1, 2, 3):
        link = far.connect(epoch=epoch)
        pulse(link)
        link.cut()
    assert log.read_text().count("--query-gpu") <= 1


def test_a_tool_that_hangs_holds_nothing_up_and_is_ended(make_far: Callable[..., FarHost], tmp_path: Path) -> None:
    far = make_far(quick("0.4, 0.4, 0.2"))
    log = with_gpus(far, tmp_path, "exec sleep 600")
    link = far.connect()
    first = pulse(link)
    assert first["gpus"] == []
    link.run("1.1", "/bin/true")
    pulse(link)
    link.say("bye")
    assert link.until("gone")["processes"] == 0
    asked = [int(line.split()[0]) for line in log.read_text().splitlines() if "--query" in line]
    eventually(lambda: not any(map(alive, asked)), "the end of what hung")


def test_a_tool_that_runs_is_not_taken_for_a_process_of_a_job_whose_runner_was_killed(
        make_far: Callable[..., FarHost], tmp_path: Path) -> None:
    far = make_far(quick("60.0, 60.0, 30.0"))
    with_gpus(far, tmp_path, "exec sleep 600")
    link = far.connect()
    link.launch("1.1", script="kill -9 $PPID; sleep 0.5; exit 3")
    assert link.end_of("1.1")["status"] == 3


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_disk_that_fills_up_is_told_of_once_each_time_and_before_it_is_full(make_far: Callable[..., FarHost]) -> None:
    far = make_far(quick("0.1, 60.0, 0.1"))
    with disks.small_disk(far.home, "70m"):
        link = far.connect()
        pulse(link)
        told: list[str] = []
        for _ in range(2):
            with open(far.home / "large", "wb") as file:
                os.posix_fallocate(file.fileno(), 0, 61 << 20)
            told.append(link.until("warn")["msg"])
            for _ in range(3):
                pulse(link)
            (far.home / "large").unlink()
            eventually(lambda: pulse(link)["disk"] > 60 << 20, "a look at the disk")
        assert [frame for frame in link.frames if frame["t"] == "warn"] == [{"t": "warn", "msg": text} for text in told]
        assert re.fullmatch(rf"the disk of {far.home}/.sshjobs is filling up: [89] MiB left; make room there before jobs have to wait for it",
                            told[0])
        # There is room yet.
        assert link.run("1.1", "sh", "-c", "head -c 1000000 /dev/zero")["why"] == "exited"
        far.close()


@pytest.mark.parametrize("keys", [{"ids": ["1.1"]}, {"cpu": [1.0]}, {"gpus": [1]}, {"load": "1"}, {"load": -1}, {"ids": None},
                                  {"gpus": [101], "gpu_memory": [1]}, {"rss": [-1], "ids": ["1.1"], "cpu": [0]}])
def test_a_pulse_that_cannot_be_is_a_protocol_error(keys: dict[str, Any]) -> None:
    from sshjobs.errors import ProtocolError
    from sshjobs.model.host import Host
    from sshjobs.network.contract import RunIdentity
    from sshjobs.network.protocol import link as protocol
    from sshjobs.network.session.book import HostBook
    from sshjobs.network.session.dialog import Dialog
    from sshjobs.network.session.output_files import OutputFiles

    good: dict[str, Any] = {"load": 0.5, "memory": None, "disk": 1, "gpus": [], "gpu_memory": [], "ids": [], "cpu": [], "rss": []}
    told: list[object] = []
    book = HostBook("h", OutputFiles(), told.append, lambda item: None)
    dialog = Dialog(Host("h").name, RunIdentity("0" * 32, "r", 1), book, lambda item: None, told.append, None)
    with pytest.raises(ProtocolError):
        frame = frames.parse_header(encode("pulse", **{**good, **keys})[:-1])
        dialog.take(protocol.Link("0" * 32), protocol.Frame("pulse", frame), 0.0)
    assert told == []
