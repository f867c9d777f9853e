"""Failures that are alike stand together, and what is to blame is said only where something shows it."""

from __future__ import annotations

import resource
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from sshjobs.diagnosis import groups
from sshjobs.diagnosis.blame import in_common
from sshjobs.diagnosis.groups import kinds_of, names_with, normalised
from sshjobs.model.causes import EndCause
from sshjobs.model.host import Host
from sshjobs.model.spec import Job, JobSpec
from sshjobs.model.states import STATE_DONE, STATE_ERROR, STATE_FREE, Outcome
from sshjobs.store import ManagerIdentity, RunStore
from sshjobs.store.failed import FailureReader
from sshjobs.store.rundir import RunPaths, create_run
from sshjobs.views.reasons import kind_line
from tests.web.scale import make_big

#: How a job ends: its outcome, its exit status, what it writes on stderr.
Ending = tuple[Outcome, int | None, str]
PASSED: Ending = (Outcome.SUCCEEDED, 0, "")
CUDA: Ending = (Outcome.FAILED, 1, "Traceback\nRuntimeError: CUDA out of memory. Tried to allocate {} MiB\n")


class Made:
    """A run that is over, jobs of an entry ``fit`` with parameters; each attempt as it is said."""

    def __init__(self, results: Path, params: list[dict[str, str]], hosts: tuple[str, ...] = ("gpu1", "gpu3")):
        self.paths = create_run(results, name="r")
        spec = JobSpec(["true"], name="fit", entry="fit", params=params[0] if params else None)
        self.jobs = [Job(spec.named(f"fit-{n}", n, tuple(one.values())), n - 1) for n, one in enumerate(params, 1)]
        self.store = RunStore.create(self.paths, uid="c" * 32, name="r", jobs=self.jobs, hosts=[Host(name) for name in hosts],
                                     options={}, created=1e9)
        self.store.take_over(ManagerIdentity.this_process())

    def end(self, n: int, host: str, ending: Ending, *, again: bool = False, write: bool = True) -> None:
        """Let job ``n`` (from 1) have an attempt that ends so; ``again``: the job is tried again."""
        job = self.jobs[n - 1]
        attempt = job.new_attempt(host, "t")
        outcome, status, said = ending
        attempt.outcome, attempt.exit_status = outcome, status
        attempt.state = STATE_DONE if outcome is Outcome.SUCCEEDED else STATE_ERROR
        attempt.started, attempt.ended, attempt.released = 1e9, 1e9 + 1, True
        job.state = STATE_FREE if again else attempt.state
        job.outcome, job.exit_status = (None, None) if again else (outcome, status)
        self.store.touch(job)
        self.store.touch_attempt(job, attempt)
        if write:
            directory = self.paths.job(job.name)
            directory.mkdir(exist_ok=True)
            if attempt.n > 1:
                old = self.paths.attempt(job.name, attempt.n - 1)
                old.mkdir()
                for stream in ("stdout", "stderr"):
                    (directory / stream).rename(old / stream)
            (directory / "stdout").write_text("")
            (directory / "stderr").write_text(said.format(n))

    def close(self) -> RunPaths:
        self.store.commit()
        self.store.close(None)
        return self.paths


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Made]:
    return lambda params, **keys: Made(tmp_path, params, **keys)


def lines(paths: RunPaths) -> list[str]:
    with FailureReader.open(paths) as reader:
        kinds = kinds_of(reader).all()
        return [kind_line(kind, common) for kind, common in zip(kinds, in_common(reader, kinds), strict=True)]


def seeds(number: int, **more: str) -> list[dict[str, str]]:
    return [{**more, "seed": str(n)} for n in range(1, number + 1)]


def test_a_thousand_failures_of_five_causes_are_five_lines(make: Callable[..., Made]) -> None:
    made = make(seeds(1000))
    endings: list[Ending] = [CUDA, (Outcome.FAILED, 1, "OSError: [Errno 28] No space left on device: '/tmp/tmpx{}/a'\n"),
                             (Outcome.FAILED, 127, "line 1: fitt: command not found\n"), (Outcome.TIMED_OUT, None, "epoch {}\n"),
                             (Outcome.FAILED, 3, "fit-{}: loss is nan at step {}\n".replace("{}", "{0}"))]
    for n in range(1, 1001):
        made.end(n, f"gpu{1 + n % 2 * 2}", endings[n % 5])
    told = lines(made.close())
    assert len(told) == 5
    assert all(line.startswith("200 × ") for line in told), told
    assert {line.split(" × ")[1].split(":")[0] for line in told} == {
        "probably GPU error", "probably disk full", "probably no such program", "timed out", "exit 3"}


def test_the_host_is_to_blame_where_the_same_parameters_passed_elsewhere(make: Callable[..., Made]) -> None:
    made = make(seeds(40))
    for n in range(1, 41):
        if n <= 37:
            made.end(n, "gpu3", CUDA, again=True)
        made.end(n, "gpu1", PASSED)
    assert lines(made.close()) == [
        "37 × probably GPU error: RuntimeError: CUDA out of memory. Tried to allocate 1 MiB (fit-1, fit-2, fit-3 and 34 more); 37 of "
        "them tried again, all on gpu3; the same parameters passed on gpu1: blame gpu3"]


def test_a_host_on_which_others_passed_is_not_to_blame(make: Callable[..., Made]) -> None:
    made = make(seeds(20))
    for n in range(1, 21):
        made.end(n, "gpu3" if n % 2 else "gpu1", CUDA if n in (3, 7, 9) else PASSED)
    (line,) = lines(made.close())
    assert line.endswith("all on gpu3; 7 passed there")
    assert "blame" not in line


def test_a_value_with_which_none_passed_is_to_blame(make: Callable[..., Made]) -> None:
    made = make([{"lr": lr, "seed": str(seed)} for lr in ("0.1", "0.2", "0.3") for seed in range(6)])
    for n in range(1, 19):
        made.end(n, ("gpu1", "gpu3")[n % 2], (Outcome.FAILED, 1, "loss is nan\n") if 7 <= n <= 12 else PASSED)
    assert lines(made.close()) == [
        "6 × exit 1: loss is nan (fit-7, fit-8, fit-9 and 3 more), all with lr=0.2; none passed with it, on gpu1, gpu3: blame lr=0.2"]


def test_where_host_and_value_cannot_be_told_apart_both_are_named(make: Callable[..., Made]) -> None:
    made = make([{"lr": lr, "seed": str(seed)} for lr in ("0.1", "0.2") for seed in range(6)])
    for n in range(1, 13):
        made.end(n, "gpu3" if n > 6 else "gpu1", CUDA if n > 6 else PASSED)
    (line,) = lines(made.close())
    assert line.endswith(": blame gpu3 or lr=0.2")


def test_two_failures_and_a_run_with_one_host_blame_nobody(make: Callable[..., Made]) -> None:
    made = make(seeds(6))
    for n in range(1, 7):
        made.end(n, "gpu3" if n < 3 else "gpu1", CUDA if n < 3 else PASSED)
    (line,) = lines(made.close())
    assert "blame" not in line
    assert line.endswith(", all on gpu3; 4 passed elsewhere, none there")


def test_a_run_with_one_host_has_it_in_common_with_everybody(make: Callable[..., Made]) -> None:
    made = make(seeds(9), hosts=("gpu3",))
    for n in range(1, 10):
        made.end(n, "gpu3", CUDA if n < 6 else PASSED)
    (line,) = lines(made.close())
    assert line.endswith("(fit-1, fit-2, fit-3 and 2 more)")


def test_failures_that_each_say_something_else_are_one_kind(make: Callable[..., Made]) -> None:
    made = make(seeds(30))
    for n in range(1, 31):
        made.end(n, "gpu1", (Outcome.FAILED, 1, f"{'abcdefghijklmnopqrstuvwxyzäöüß'[n - 1] * n} went wrong\n"))
    (line,) = lines(made.close())
    assert line.startswith("30 × exit 1: each says something else, such as: a went wrong (fit-1")


def test_outputs_that_are_gone_do_not_hinder(make: Callable[..., Made]) -> None:
    made = make(seeds(3))
    for n in range(1, 4):
        made.end(n, "gpu1", CUDA)
    (made.paths.job("fit-1") / "stderr").unlink()
    (made.paths.job("fit-2") / "stderr").unlink()
    (made.paths.job("fit-2") / "stderr").mkdir()
    told = lines(made.close())
    assert [line.partition(" (")[0] for line in told] == [
        "2 × exit 1", "1 × probably GPU error: RuntimeError: CUDA out of memory. Tried to allocate 3 MiB"]


def test_no_control_byte_of_a_job_is_told(make: Callable[..., Made]) -> None:
    made = make(seeds(2))
    made.end(1, "gpu1", (Outcome.FAILED, 1, "\x1b]0;pwned\x07\x1b[31mCUDA error: \u202eevil\n"))
    made.end(2, "gpu1", (Outcome.FAILED, 2, "\x9b2J \x1b[2J\rgone\n"))
    for line in lines(made.close()):
        assert line.isprintable(), line


@pytest.mark.parametrize(("one", "other", "alike"), [
    ("step 3 of 10", "step 17 of 10", True), ("at 0xdeadbeef", "at 0x7ffe00", True), ("open /tmp/tmpabc/x: no", "open /tmp/t9/y: no", True),
    ("id 3f2504e0-4f89-11d3-9a0c-0305e82c3301", "id 6ba7b810-9dad-11d1-80b4-00c04fd430c8", True), ("a failed", "b failed", False),
])
def test_messages_are_alike_but_for_numbers_and_names(one: str, other: str, alike: bool) -> None:
    assert (normalised(one) == normalised(other)) is alike


def test_jobs_are_found_by_their_cause(make: Callable[..., Made]) -> None:
    made = make(seeds(6))
    for n, ending in enumerate([CUDA, PASSED, (Outcome.TIMED_OUT, None, ""), CUDA, (Outcome.FAILED, 1, "x\n"), (Outcome.CANCELLED, None, "")], 1):
        made.end(n, "gpu1", ending)
    with FailureReader.open(made.close()) as reader:
        assert names_with(reader, [EndCause.GPU_ERROR]) == ["fit-1", "fit-4"]
        assert names_with(reader, [EndCause.TIMEOUT, EndCause.CANCELLED]) == ["fit-3", "fit-6"]
        assert names_with(reader, [EndCause.DISK_FULL]) == []


def test_very_many_failures_take_little_memory_and_only_some_are_read(
        make: Callable[..., Made], monkeypatch: pytest.MonkeyPatch) -> None:
    number = 20_000
    made = make([{"lr": "0.1", "seed": str(n)} for n in range(number)])
    for n in range(1, number + 1):
        made.end(n, "gpu1", (Outcome.FAILED, 1 + n % 3, "loss is nan at {}\n"), write=n <= 300)
    monkeypatch.setattr(groups, "MOST_READ", 300)
    with FailureReader.open(made.close()) as reader:
        before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        found = kinds_of(reader)
        print(f"{time.process_time() - began:.2f} s")
        assert sum(kind.number for kind in found.all()) + found.unread.total() == number
        assert found.unread == Counter(f"exit {1 + n % 3}" for n in range(301, number + 1))
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 << 10
    assert {kind.ending: kind.number for kind in found.all()} == {"exit 1": 100, "exit 2": 100, "exit 3": 100}


def test_of_a_large_run_a_part_can_be_looked_at(tmp_path: Path) -> None:
    paths = make_big(tmp_path, 3_000)
    with FailureReader.open(paths) as reader:
        some = list(reader.passed(600))
        assert 500 <= len(some) <= 600 and len({host for _, _, host in some}) > 40, "from all parts of the run"
        assert len(list(reader.passed(3_000))) == len(list(reader.passed())) == 2_940
        kinds = kinds_of(reader, most=25).all()
        assert sum(kind.number for kind in kinds) == 25 and sum(kind.number for kind in kinds_of(reader).all()) == 60
        assert len(in_common(reader, kinds, 600)) == len(kinds)
