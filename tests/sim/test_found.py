"""What plays have found: each again, in as few steps as it takes."""

from __future__ import annotations

import errno
from itertools import count
from unittest import mock

import pytest

from sshjobs.model.spec import JobSpec
from sshjobs.model.states import Outcome
from sshjobs.network.session.session import DEAF_AFTER
from sshjobs.simulation import Program
from sshjobs.store import RunReader
from tests.sim import disasters
from tests.sim.host.disk import File
from tests.sim.host.machine import KILL, Trap
from tests.sim.host.process import Process
from tests.sim.play import Play

WRITES = Program(0.5, 1, None, b"o" * 300, b"e" * 40)


def play_of(name: str, program: Program, *, hosts: int = 1) -> Play:
    """A play in which every attempt does the same, and no job asks for anything of its own."""
    play = Play(name, hosts=hosts)
    numbers = count(1)
    play.spec = lambda: JobSpec(argv=["x"], name=f"j{next(numbers)}")  # type: ignore[method-assign]
    play.world.program_of = lambda launch: program
    return play


def resume_and_end(play: Play, outcome: Outcome) -> None:
    """Have another manager find out how the only attempt ended, and the run end."""
    play.resume()
    play.advance(30.0)
    assert play.judge.recorded == {"1.1": outcome}
    play.finish()


@pytest.mark.parametrize("time", [1, 2])
@pytest.mark.parametrize("power", [False, True])
@pytest.mark.parametrize("point", ["manager.launch", "manager.commit", "manager.committed", "manager.flush",
                                   "manager.aside", "manager.flushed"])
def test_an_output_is_not_lost_when_the_manager_dies_around_the_next_launch(point: str, power: bool,
                                                                            time: int) -> None:
    with play_of("aside", WRITES) as play:
        play.begin(1)
        play.advance(30.0)
        play.befall(disasters.retry)
        play.traps[point] = time, lambda machine: play.kill_manager(power=power)
        play.advance(5.0)
        play.resume()
        play.advance(30.0)
        play.finish()


def test_a_full_disk_of_the_manager_holds_a_second_attempt_up_and_loses_nothing() -> None:
    with play_of("full", WRITES) as play:
        play.begin(1)
        play.advance(30.0)
        began = dict(play.judge.starts)
        play.files.trouble = errno.ENOSPC
        play.befall(disasters.retry)
        room_at = play.world.now + 20.0
        play.world.at(20.0, lambda: setattr(play.files, "trouble", None))
        play.advance(40.0)
        assert [at >= room_at for uid, at in play.judge.starts.items() if uid not in began] == [True]
        play.finish()


def kill_all_after(play: Play, call: str, time: int) -> None:
    """Have agent and runners die when a runner has made a call for the n-th time."""
    (machine,) = play.machines()

    def spring(process: Process) -> None:
        disasters.kill_agent(play, machine)
        for runner in machine.of_kind("runner"):
            machine.kill(runner, KILL, None)
    machine.traps.append(Trap("runner", call, time, spring, after=True))


#: Its job was started; that was written down; its end was written down; it was waited for.
STEPS = [("spawn", 1), ("write", 3), ("write", 4), ("wait4", 1)]


@pytest.mark.parametrize(("call", "time"), STEPS)
def test_what_a_job_left_is_not_taken_for_the_job(call: str, time: int) -> None:
    with play_of("stray", Program(0.5, 0, None, b"out", stray=True, stubborn=True)) as play:
        kill_all_after(play, call, time)
        play.begin(1)
        play.advance(60.0)
        assert "1.1" in play.judge.recorded
        assert set(play.judge.evidence.runner_deaths) == {"1.1"}
        play.finish()


def test_a_daemon_that_cannot_be_told_from_its_job_is_shown_and_can_be_cancelled() -> None:
    with play_of("daemon", Program(0.5, 0, None, b"out", stray=True, daemon=True)) as play:
        kill_all_after(play, "spawn", 1)
        play.begin(1)
        play.advance(600.0)
        assert play.judge.recorded == {}
        play.ask({"do": "cancel", "jobs": ["j1"]})
        play.advance(60.0)
        assert play.judge.recorded == {"1.1": Outcome.CANCELLED}
        play.finish()


def test_an_agent_with_nothing_to_do_leaves_what_an_earlier_one_had() -> None:
    with play_of("idle", Program(0.5, 0, None, b"out")) as play:
        (machine,) = play.machines()
        play.begin(1)
        play.advance(0.3)
        play.befall(lambda play: play.kill_manager())
        # The job ends, and nobody hears of it.
        play.advance(5.0)
        disasters.kill_agent(play, machine)
        # Another manager comes and has an agent begin, and is gone before that has said anything.
        play.resume()
        while not machine.of_kind("agent"):
            play.advance(0.001)
        play.befall(lambda play: play.kill_manager())
        play.advance(200.0)
        assert not machine.of_kind("agent")
        resume_and_end(play, Outcome.SUCCEEDED)


def test_jobs_that_a_broken_host_has_failed_run_elsewhere() -> None:
    with play_of("broken", Program(0.05, 0, None, b"out"), hosts=4) as play:
        broken = play.machines()[0]
        broken.spoils = Program(0.003, 127)
        play.begin(200)
        play.advance(30.0)
        assert len(play.judge.succeeded) == 200
        # Mended, it is used again by itself.
        broken.spoils = None
        play.ask({"do": "add", "specs": [play.spec().as_dict() for _ in range(400)]})
        play.advance(60.0)
        assert play.manager is not None
        assert any(attempt.host == "h1" for job in play.manager.jobs.objects if job.index >= 200
                   for attempt in job.attempts if attempt.outcome is Outcome.SUCCEEDED)
        play.finish()


@pytest.mark.parametrize("verb", ["pause", "unpause"])
def test_what_a_person_asks_while_a_host_is_away_outlives_the_manager(verb: str) -> None:
    with play_of("pause", Program(20.0, 0, None, b"out")) as play:
        (machine,) = play.machines()
        play.begin(1)
        play.advance(1.0)
        (process,) = (one for one in machine.processes.values() if one.kind == "main")
        if verb == "unpause":
            play.ask({"do": "pause", "jobs": ["j1"]})
            play.advance(1.0)
            assert process.left is not None
        machine.reachable = False
        machine.cut(0, 0, heard=True)
        play.advance(1.0)
        play.ask({"do": verb, "jobs": ["j1"]})
        play.advance(1.0)
        play.befall(lambda play: play.kill_manager())
        machine.reachable = True
        play.resume()
        play.advance(10.0)
        assert (process.left is not None) == (verb == "pause")
        play.finish()
        assert play.judge.recorded == {"1.1": Outcome.SUCCEEDED}


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("goes", ["on", "down"])
def test_a_cancel_that_its_host_has_not_heard_outlives_the_manager(goes: str, full: bool) -> None:
    with play_of("cancel", Program(40.0, 0, None, b"out")) as play:
        (machine,) = play.machines()
        play.begin(1)
        play.advance(1.0)
        machine.reachable = False
        machine.cut(0, 0, heard=True)
        play.advance(1.0)
        # It takes effect all the same, and is written down as soon as that is possible.
        play.store_full = full
        play.world.at(5.0, play.end_trouble)
        play.ask({"do": "cancel", "jobs": ["j1"]})
        play.advance(20.0)
        play.befall(lambda play: play.kill_manager())
        if goes == "down":
            machine.reboot(power=True)
        machine.reachable = True
        play.resume()
        play.advance(20.0)
        # Ended by us, or lost with its host and not tried again.
        assert play.judge.recorded == {"1.1": Outcome.CANCELLED if goes == "on" else Outcome.LOST}
        play.finish()
        assert set(play.judge.starts) == {"1.1"}
        with RunReader.open(play.paths) as reader:
            assert [job.outcome for job in reader.load(["j1"])] == [Outcome.CANCELLED]
            assert reader.cancelled() == set()


def test_an_agent_whose_disk_is_full_does_not_leave_with_what_it_could_not_write_down() -> None:
    with play_of("full host", Program(5.0, 3)) as play:
        (machine,) = play.machines()
        play.begin(1)
        play.advance(1.0)
        disasters.kill_runner(play, machine)
        play.befall(lambda play: play.kill_manager())
        machine.disk.trouble = errno.ENOSPC
        play.advance(150.0)
        machine.disk.trouble = None
        play.advance(100.0)
        assert not machine.of_kind("agent")
        resume_and_end(play, Outcome.FAILED)


@pytest.mark.parametrize("point", ["manager.commit", "manager.committed"])
def test_nothing_stands_still_that_the_next_manager_does_not_know_of(point: str) -> None:
    with play_of("unknown pause", Program(20.0, 0, None, b"out")) as play:
        play.begin(1)
        play.advance(1.0)
        play.traps[point] = 1, lambda machine: play.kill_manager()
        play.ask({"do": "pause", "jobs": ["j1"]})
        play.advance(2.0)
        play.resume()
        play.advance(10.0)
        play.finish()
        assert play.judge.recorded == {"1.1": Outcome.SUCCEEDED}


def test_what_stands_since_a_pause_that_could_not_be_written_goes_on_when_a_person_says_so() -> None:
    with play_of("unwritten pause", Program(20.0, 0, None, b"out")) as play:
        (machine,) = play.machines()
        play.begin(1)
        play.advance(1.0)
        (process,) = (one for one in machine.processes.values() if one.kind == "main")
        play.store_full = True
        # It tries again and again to write; by then its host has heard.
        play.traps["manager.commit"] = 4, lambda machine: play.kill_manager()
        play.ask({"do": "pause", "jobs": ["j1"]})
        play.advance(20.0)
        assert not play.alive and process.left is not None
        play.end_trouble()
        play.resume()
        play.advance(10.0)
        play.ask({"do": "unpause", "jobs": ["j1"]})
        play.advance(1.0)
        assert process.left is None
        play.finish()
        assert play.judge.recorded == {"1.1": Outcome.SUCCEEDED}


def test_an_input_of_which_a_power_failure_has_left_a_part_is_sent_again() -> None:
    play = play_of("input", Program(10.0, 0, None, b"out"))
    play.work.inputs = True
    play.spec = lambda: JobSpec(argv=["x"], name="j1", files=["small"], base_dir=play.directory)  # type: ignore[method-assign]
    with play:
        (machine,) = play.machines()
        play.begin(1)
        play.advance(2.0)
        (blob,) = [node for path, node in machine.disk.walk() if isinstance(node, File) and "/b/" in path]
        del blob.data[5:]
        machine.reboot(power=False)
        play.advance(200.0)
        # The judge has seen what the second attempt was given to read.
        assert set(play.judge.starts) == {"1.1", "1.2"}
        play.finish()


def test_an_output_that_was_deleted_here_after_its_host_was_told_to_forget_it_holds_nothing_up() -> None:
    with play_of("deleted", WRITES) as play:
        def wait_until_released(machine: object) -> None:
            assert play.manager is not None
            if play.manager.store._released:
                play.kill_manager()
            play.traps["manager.commit"] = 1, wait_until_released

        play.traps["manager.commit"] = 1, wait_until_released
        play.begin(1)
        play.advance(30.0)
        assert not play.alive and play.judge.recorded == {"1.1": Outcome.FAILED}
        play.traps.clear()
        play.files._data.clear()
        play.resume()
        play.advance(30.0)
        assert play.manager is not None
        assert not play.manager.books.unreleased
        assert play.world.events < 20_000


def test_what_ran_and_was_nowhere_written_down_is_not_taken_for_what_never_started() -> None:
    with play_of("no note", Program(0.005, 0)) as play:
        (machine,) = play.machines()

        def fill(process: Process) -> None:
            machine.disk.trouble = errno.ENOSPC

        def kill(process: Process) -> None:
            machine.kill(process, KILL, None)
            play.later(5.0, lambda: setattr(machine.disk, "trouble", None))
        # When the claim is written down, and when the job was waited for.
        machine.traps += [Trap("runner", "write", 2, fill, after=True), Trap("runner", "wait4", 1, kill, after=True)]
        play.begin(1)
        play.advance(60.0)
        assert play.judge.recorded["1.1"] is Outcome.LOST
        play.finish()


def test_what_a_runner_was_given_and_did_not_begin_with_is_launched_again_as_the_same_attempt() -> None:
    with play_of("not begun", Program(0.5, 0, None, b"out")) as play:
        (machine,) = play.machines()

        def break_off(process: Process) -> None:
            machine.cut(0, 0, heard=True)
            process.wait([], 30.0)
        machine.traps.append(Trap("runner", "mkdir", 1, break_off))
        play.begin(1)
        # Until the manager has asked over another link.
        play.advance(15.0)
        assert not play.judge.starts
        disasters.kill_both(play, machine)
        play.advance(60.0)
        assert play.judge.recorded == {"1.1": Outcome.SUCCEEDED}
        play.finish()


def test_a_host_that_talks_and_hears_nothing_is_connected_anew() -> None:
    """What its jobs write arrives all the time. That does not say that it hears what is asked of it."""
    with play_of("deaf", Program(900.0, 0, None, b"o" * 900, pieces=900)) as play:
        play.begin(1)
        play.advance(3.0)
        machine, = play.machines()
        machine.cut(0, 1 << 40, heard=False)
        play.befall(disasters.cancel)
        play.advance(DEAF_AFTER + 60.0)
        assert play.judge.recorded == {"1.1": Outcome.CANCELLED}
        play.finish()


@pytest.mark.parametrize("order", ["cancel", "pause"])
def test_an_order_that_cannot_be_sent_to_a_runner_at_once_is_sent_then(order: str) -> None:
    with play_of("order", Program(20.0)) as play:
        play.begin(1)
        play.advance(2.0)
        machine, = play.machines()
        machine.traps.append(Trap("agent", "send", 1, lambda process: errno.ENOBUFS, after=False))
        play.ask({"do": order, "jobs": ["j1"]})
        play.advance(40.0)
        assert play.judge.recorded == ({"1.1": Outcome.CANCELLED} if order == "cancel" else {})
        play.ask({"do": "unpause", "jobs": ["j1"]})
        play.advance(40.0)
        play.finish()


def gpu_play(name: str, program: Program) -> Play:
    """A play with one job that needs a GPU, on two hosts that have some for themselves."""
    play = Play(name, hosts=2, gpus=True)
    for machine in play.machines():
        assert machine.cards is not None
        machine.cards.heal()
    play.spec = lambda: JobSpec(argv=["x"], name="j1", gpus={"count": 1})  # type: ignore[method-assign]
    play.world.program_of = lambda launch: program
    return play


def test_a_run_goes_on_while_its_jobs_have_their_gpus_and_none_waits_for_one() -> None:
    with gpu_play("gpus", Program(30.0)) as play:
        play.begin(1)
        play.advance(60.0)
        assert play.judge.recorded == {"1.1": Outcome.SUCCEEDED}
        play.finish()


def test_a_host_that_left_before_it_has_told_of_its_gpus_is_not_asked_again() -> None:
    with gpu_play("gone", Program(100.0)) as play:
        cards = play.machines()[0].cards
        assert cards is not None
        # Its tool hangs.
        cards.answers_after = (1000.0,)
        play.begin(1)
        play.advance(3.0)
        play.ask({"do": "hosts-remove", "hosts": ["h1"]})
        play.advance(120.0)
        assert play.judge.recorded == {"1.1": Outcome.SUCCEEDED}
        play.finish()


# From its first look at the lock to the last thing that it removes.
@pytest.mark.parametrize("count", range(5, 20))
def test_an_agent_that_something_fails_for_as_it_leaves_locks_nobody_out(count: int) -> None:
    with play_of("leaving", Program(0.5, 0, None, b"out")) as play:
        play.begin(1)
        play.advance(5.0)
        play.befall(lambda play: play.kill_manager())
        play.advance(50.0)
        (machine,) = play.machines()
        machine.traps.append(Trap("agent", None, count, lambda process: errno.ENOMEM))
        play.advance(30.0)
        machine.traps.clear()
        play.resume()
        play.ask({"do": "add", "specs": [play.spec().as_dict()]})
        play.advance(30.0)
        assert play.judge.recorded == {"1.1": Outcome.SUCCEEDED, "2.1": Outcome.SUCCEEDED}
        # By now one that did not leave at once would have tried it again.
        play.advance(60.0)
        machine.cut(0, 0, heard=True)
        play.advance(5.0)
        play.ask({"do": "add", "specs": [play.spec().as_dict()]})
        play.advance(30.0)
        assert play.judge.recorded["3.1"] is Outcome.SUCCEEDED
        play.finish()


@pytest.mark.parametrize("order", ["pause", "unpause"])
def test_an_order_that_dies_with_the_runner_it_was_given_to_is_carried_out(order: str) -> None:
    with play_of("dies with it", Program(20.0, 0)) as play:
        play.begin(1)
        play.advance(2.0)
        (machine,) = play.machines()
        if order == "unpause":
            play.ask({"do": "pause", "jobs": ["j1"]})
            play.advance(2.0)
        machine.traps.append(Trap("runner", "recv", 1, lambda runner: machine.kill(runner, KILL, None)))
        play.ask({"do": order, "jobs": ["j1"]})
        play.advance(60.0)
        assert not machine.of_kind("runner") or machine.traps == [], "no runner died"
        assert play.judge.recorded == ({} if order == "pause" else {"1.1": Outcome.SUCCEEDED})
        play.ask({"do": "unpause", "jobs": ["j1"]})
        play.advance(60.0)
        assert play.judge.recorded == {"1.1": Outcome.SUCCEEDED}
        play.finish()


# From its welcome, or just before, until it has a journal of its own.
@pytest.mark.parametrize("count", range(3, 24))
def test_what_is_launched_to_an_agent_whose_disk_fills_up_as_it_begins_never_started(count: int) -> None:
    with play_of("begins", Program(0.5, 0, None, b"out")) as play:
        (machine,) = play.machines()
        machine.traps.append(Trap("agent", None, count, lambda agent: setattr(machine.disk, "trouble", errno.ENOSPC)))
        play.begin(1)
        play.advance(5.0)
        play.befall(lambda play: play.kill_manager())
        machine.disk.trouble = None
        play.resume()
        play.advance(60.0)
        assert play.judge.recorded == {"1.1": Outcome.SUCCEEDED}
        play.finish()


# The directories that an agent makes first, one of them to prove that an attempt never starts there.
@pytest.mark.parametrize("count", range(1, 4))
def test_what_ran_before_a_loss_of_power_is_not_taken_for_what_never_started(count: int) -> None:
    with play_of("fence", Program(30.0, 0)) as play:
        play.begin(1)
        play.advance(2.0)
        (machine,) = play.machines()
        with mock.patch.object(play.world.rng, "choice", lambda moments: moments[1]):
            # Nothing is left of it.
            machine.reboot(power=True)
        machine.traps.append(Trap("agent", "mkdir", count, lambda agent: machine.kill(agent, KILL, None), after=True))
        play.advance(60.0)
        assert play.judge.recorded["1.1"] is Outcome.LOST


def test_a_home_that_an_agent_could_not_leave_as_it_was_is_not_taken_for_where_the_run_is() -> None:
    with play_of("home", Program(10.0, 0, None, b"out")) as play:
        (machine,) = play.machines()
        # It lies in /var/tmp then, and the next agent finds both. Where blocks are copied on write, a quota can keep files there.
        machine.traps.append(Trap("front", "unlink", 1, lambda front: errno.EDQUOT))
        play.begin(1)
        play.advance(2.0)
        assert machine.traps == []
        disasters.kill_agent(play, machine)
        play.advance(60.0)
        assert play.judge.recorded == {"1.1": Outcome.SUCCEEDED}
        play.finish()
