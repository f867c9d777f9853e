"""Signals are heard also where the manager's thread is in a call of the system that does not return, and while it waits
for hosts at the end of a run."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sshjobs.inputs.builder import Builder
from sshjobs.model.host import Host
from sshjobs.network.session.session import HostSession
from sshjobs.running.run import Run
from tests.cli.here import call_here
from tests.hints import tries
from tests.lab import disks
from tests.lab.waiting import wait_until
from tests.trouble.inject import ROOT
from tests.trouble.places import listed
from tests.trouble.scene import LocalScene

REPOSITORY = ROOT.parent
#: What each manager says that is held up.
WORD = "once more ends it at once: what was launched goes on, and is collected by: sshjobs resume r"


def place_of(file: str, function: str, call: str) -> str:
    """Return the key of a call in a function."""
    source = (ROOT / file).read_text()
    first = source[:source.index(f"def {function}(")].count("\n") + 1
    return next(place.key for place in listed(source, file) if place.line > first and place.call == call)


@pytest.fixture
def scene(tmp_path: Path, clean_home: Path) -> Iterator[LocalScene]:
    """A run of four jobs on two hosts; its jobs wait for the file ``go``."""
    commands = [f"until test -e {tmp_path}/go; do sleep 0.05; done"]
    made = LocalScene(tmp_path, [{"name": f"job-{n}", "commands": commands} for n in range(4)])
    yield made
    (tmp_path / "go").touch()
    (tmp_path / "hangs").unlink(missing_ok=True)
    made.kill()


def begin_to_hang(scene: LocalScene, place: str, cache: Path) -> None:
    """Start the run, and have one call of its manager not return from the time on when two jobs run."""
    scene.begin(env={"SSHJOBS_TROUBLE": json.dumps({"place": place, "hangs": str(scene.directory / "hangs")}),
                     "SSHJOBS_TROUBLE_CACHE": str(cache), "PYTHONPATH": f"{REPOSITORY}/tests/trouble/site:{REPOSITORY}"})
    scene.wait_for("started", 2)
    (scene.directory / "hangs").touch()
    (scene.directory / "go").touch()


@tries("{}; once more ends it at once: what was launched goes on, and is collected by: sshjobs resume {}")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_manager_whose_disk_never_answers_says_what_it_waits_for_and_the_next_signal_ends_it(
        number: signal.Signals, scene: LocalScene, tmp_path_factory: pytest.TempPathFactory) -> None:
    begin_to_hang(scene, place_of("store/writer.py", "_execute", "self._connection.execute"), tmp_path_factory.mktemp("cache"))
    wait_until((scene.directory / "hangs.reached").exists, 60, "the call that does not return")
    scene.signal(number)
    line = f"sshjobs: results/r/run.db: the manager waits until this file is read or written; {WORD}"
    wait_until(lambda: line in scene.said(), 20, lambda: str(scene.tail()))
    scene.signal(number)
    assert scene.ends(within=20) == 130
    assert scene.said() == [line], "nothing is said twice, and there is no traceback"
    (scene.directory / "hangs").unlink()
    scene.resume()
    assert scene.ends() == 0
    scene.is_all_done(4)


def test_a_manager_that_was_held_up_acts_on_the_signal_when_the_disk_answers_again(
        scene: LocalScene, tmp_path_factory: pytest.TempPathFactory) -> None:
    begin_to_hang(scene, place_of("store/writer.py", "_execute", "self._connection.execute"), tmp_path_factory.mktemp("cache"))
    wait_until((scene.directory / "hangs.reached").exists, 60, "the call that does not return")
    scene.signal(signal.SIGTERM)
    wait_until(lambda: WORD in "".join(scene.said()), 20, lambda: str(scene.tail()))
    (scene.directory / "hangs").unlink()
    scene.wait_for("interrupt")
    assert scene.ends() == 130
    scene.resume()
    assert scene.ends() == 0
    scene.is_all_done(4)


@pytest.mark.skipif(os.geteuid() != 0 or None in (shutil.which("mkfs.ext4"), shutil.which("fsfreeze")),
                    reason="a disk can be frozen by root, with e2fsprogs and util-linux")
def test_a_signal_is_heard_while_the_kernel_does_not_let_the_manager_have_it(scene: LocalScene) -> None:
    scene.results.mkdir()
    with disks.freezable(scene.results, scene.directory / "image") as frozen:
        scene.begin()
        scene.wait_for("started", 2)
        with frozen():
            (scene.directory / "go").touch()
            assert scene.process is not None
            stat = Path(f"/proc/{scene.process.pid}/stat")
            wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "D", 60, lambda: str(scene.tail()))
            scene.signal(signal.SIGTERM)
            wait_until(lambda: WORD in "".join(scene.said()), 20, lambda: str(scene.tail()))
        scene.wait_for("interrupt")
        assert scene.ends() == 130
        scene.resume()
        assert scene.ends() == 0
        scene.is_all_done(4)


class Ending:
    """A run in this process that is over, but whose hosts do not answer its last word."""

    def __init__(self, results: Path, monkeypatch: pytest.MonkeyPatch):
        async def bye(session: HostSession) -> str | None:
            await asyncio.sleep(600)
            return None

        monkeypatch.setattr(HostSession, "bye", bye)
        self.events: list[dict[str, Any]] = []
        specs = Builder().AddJob("true", repeat=3).MakeJobSpecs()
        self.run = Run.create(specs, [Host("h0", local=True)], results=results, listener=self.events.append)

    def signalled(self, number: signal.Signals) -> int:
        """Send a signal when all jobs are done. Return the exit code."""
        def send() -> None:
            wait_until(lambda: self.run.manager.closing, 60, "the end")
            os.kill(os.getpid(), number)

        sender = threading.Thread(target=send)
        sender.start()
        code = self.run.process()
        sender.join()
        return code

    def told(self, event: str) -> list[str]:
        return [one["reason"] for one in self.events if one["event"] == event]


@tries("{}: not waited for at the end; files of the run may stay there: sshjobs gc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_the_end_of_a_run_has_hosts_waited_for_no_longer(number: signal.Signals, tmp_path: Path, clean_home: Path,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    ending = Ending(tmp_path, monkeypatch)
    assert ending.signalled(number) == 130
    assert ending.told("interrupt") == ["leaving at once; hosts are not waited for"]
    assert ending.told("warning") == ["not waited for at the end; files of the run may stay there: sshjobs gc"]
    (end,) = [event for event in ending.events if event["event"] == "end"]
    assert (end["state"], end["counts"]["done"]) == ("done", 3)
    assert call_here("gc", "--results", str(tmp_path)).returncode == 0
    assert not (clean_home / ".sshjobs").exists()
    assert signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)
