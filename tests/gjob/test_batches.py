"""Job arrays, without a scheduler: what its words mean, and what becomes of an attempt whose element is over."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sshjobs.gjob.agent import element, handout
from sshjobs.gjob.agent.attempts import RUNNING, Attempt, History
from sshjobs.gjob.agent.inarray import InArray
from sshjobs.gjob.agent.scheduler import GONE, Answer, Plan, killed
from sshjobs.gjob.lease import Heard, Leases
from sshjobs.gjob.places import Places
from sshjobs.inputs.hostfile import load_hosts
from sshjobs.network.slurm.arrays import plan

RUN, HOST = "ab" * 16, "cd" * 8


def slurm(word: str = "slurm:mode=array") -> Plan:
    (host,) = load_hosts(word)
    return Plan(plan(host))


def test_what_a_job_needs_becomes_words_and_what_it_does_not_say_is_left_out() -> None:
    values = {"name": ["n"], "last": ["9"], "script": ["/a b/1.sh"], "cpus": ["2"], "memory": list[str]()}
    words, variables = slurm("slurm:mode=array,partition=gpu,constraint=x&y,time=90m").call("submit", values)
    assert words[0] == "sbatch" and words[-1] == "/a b/1.sh"
    assert {"--job-name=n", "--array=0-9", "--cpus-per-task=2", "--partition=gpu", "--constraint=x&y", "--time=90:00"} <= set(words)
    assert not any(word.startswith("--mem") for word in words)
    words, _ = slurm().call("submit", {**values, "memory": ["512"]})
    assert "--mem=512M" in words and variables["SSHJOBS_CPUS"] == "2"
    assert slurm().call("end", {"jobs": ["7_0", "7_3"]})[0] == ["scancel", "7_0", "7_3"]


@pytest.mark.parametrize("status, err, refused", [
    (1, "sbatch: error: Batch job submission failed: Invalid partition name specified", True),
    (1, "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation", False),
    (1, "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)", False),
    (None, "", False), (0, "", False), (127, "sh: sbatch: not found", True),
])
def test_only_what_is_said_clearly_is_a_refusal(status: int | None, err: str, refused: bool) -> None:
    assert slurm().refused(Answer(status, "", err)) is refused


@pytest.mark.parametrize("line", ["x", "7|0|RUNNING", "7|0|R;M|n", "7|-1|RUNNING|n", "7|1--9|PENDING|n", "7|0-999999999|PENDING|n",
                                  "7|0-9:0|PENDING|n"])
def test_what_squeue_cannot_have_said_proves_nothing(line: str) -> None:
    assert slurm().listed(Answer(0, line, "")) is None
    assert slurm().listed(Answer(1, "", "")) is None
    assert slurm().listed(Answer(0, "", "")) == []


def test_states_are_those_of_all_submissions_of_one_name() -> None:
    found = slurm().listed(Answer(0, "7|0|RUNNING|a\n8|0|COMPLETED|a\n7|1|CANCELLED|a\n9|0|FAILED|b\n", ""))
    assert found is not None
    assert slurm().states(found, "a", []) == {0: ["RUNNING", "COMPLETED"], 1: ["CANCELLED"]}


@pytest.mark.parametrize("text, indexes", [("3", [3]), ("[4-6]", [4, 5, 6]), ("1,3-4%2", [1, 3, 4]), ("0-6:3", [0, 3, 6]), ("N/A", [])])
def test_elements_that_slurm_has_not_told_apart_come_as_ranges(text: str, indexes: list[int]) -> None:
    found = slurm().listed(Answer(0, f"7|{text}|CANCELLED|a\n", ""))
    assert found is not None and [index for _, index, _, _ in found] == indexes


def test_an_id_is_what_slurm_says_it_is() -> None:
    assert slurm().submitted(Answer(0, "1234;cluster\n", "")) == "1234"
    assert slurm().submitted(Answer(0, "hello\n12\n", "")) == "12"
    assert slurm().submitted(Answer(0, "oops", "")) is None
    assert slurm().submitted(Answer(1, "12", "")) is None


def test_names_of_journals_say_whose_they_are() -> None:
    assert element.read_name(element.journal_name(3, 14, 2, "node.7")) == (3, 14, 2)
    for name in ("12.log", "e1-2-3.log", "e1-2-x-y.log", "e1-2-3-y.txt", "", "e-1-2-3-4.log"):
        assert element.read_name(name) is None


class Scene:
    """An attempt that an element has claimed, and what the scheduler says of it."""

    def __init__(self, root: Path):
        self.places = Places(str(root), RUN, HOST)
        Path(self.places.run).mkdir()
        self.places.make()
        self.state: str | None = None
        self.ended: list[str] = []
        self.history = History(self.places, elsewhere=True)
        self.attempt = Attempt("1.1", "t" * 16, state=RUNNING)
        crew = SimpleNamespace(leases=Leases(Heard(self.places.lease)), state_of=lambda uid, journal: self.state,
                               began=lambda attempt: None, find_out=lambda: None, end_soon=self.ended.append)
        self.watch = InArray(self.attempt, self.history, self.places, crew)  # type: ignore[arg-type]

    def note(self, kind: str, **keys: Any) -> None:
        self.history.records.setdefault("1.1", {})[kind] = {"k": kind, "id": "1.1", **keys}

    def claim(self) -> None:
        self.note("claim", boot="another machine's", runner=1, rstart=1, token="t" * 16, keep=False, until=None)
        self.note("start", pid=99, start=7, at=5.0)

    def end(self, why: str, status: int | None = None, signal: int | None = None, out: int = 0) -> None:
        self.note("end", why=why, status=status, signal=signal, started=5.0, ended=6.0, out=out, err=0, msg=None, cpu=0.0, rss=0)

    def look(self, times: int = 3) -> dict[str, Any]:
        for _ in range(times):
            told = self.watch.look(0.0, {})
            if told:
                found: dict[str, Any] = json.loads(b"{" + told)
                return found
        return {}


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_an_end_is_told_as_its_runner_wrote_it_whatever_the_scheduler_says(scene: Scene) -> None:
    scene.claim()
    assert scene.look() == {}
    scene.end("exited", 3)
    assert (scene.look()["why"], scene.look()["status"]) == ("exited", 3)


@pytest.mark.parametrize("state, why", [
    (None, None), ("COMPLETED", "signalled"), ("FAILED", "signalled"), ("CANCELLED", "lost"), ("PREEMPTED", "lost"),
    ("TIMEOUT", "timed_out"), ("OUT_OF_MEMORY", "oom")])
def test_an_end_by_a_signal_waits_for_who_has_sent_it(scene: Scene, state: str | None, why: str | None) -> None:
    scene.claim()
    scene.end("signalled", None, 15)
    scene.state = state
    assert scene.look().get("why") == why


@pytest.mark.parametrize("state, why", [(None, None), ("CANCELLED", "lost"), ("TIMEOUT", "timed_out"), (GONE, "lost"), ("FAILED", "lost")])
def test_without_an_end_the_scheduler_tells(scene: Scene, state: str | None, why: str | None) -> None:
    scene.claim()
    scene.state = state
    assert scene.look().get("why") == why


def test_what_was_claimed_and_never_written_down_was_never_started(scene: Scene) -> None:
    scene.state = "CANCELLED"
    assert scene.look()["why"] == "start_failed"


def test_a_cancel_is_one_whoever_was_faster(scene: Scene) -> None:
    scene.claim()
    scene.watch.cancel(5.0, 0.0)
    assert scene.look() == {} and scene.ended == ["1.1"]
    scene.end("signalled", None, 15)
    scene.state = "CANCELLED"
    assert scene.look()["why"] == "cancelled"


def test_output_that_is_late_is_waited_for(scene: Scene) -> None:
    scene.claim()
    scene.end("exited", 0, out=5)
    assert scene.look() == {}
    Path(scene.places.stream("1.1", 1)).write_bytes(b"12345")
    assert scene.look()["out"] == 5


def test_a_boot_of_the_login_node_says_nothing_of_jobs_on_nodes(scene: Scene) -> None:
    from sshjobs.gjob.agent.adopt import recover

    Path(scene.places.cwd("1.1")).mkdir()
    scene.claim()
    (found,) = recover(scene.history, scene.places)
    assert found.state == RUNNING


@pytest.mark.parametrize("why, status, number, is_killed", [
    ("signalled", None, 15, True), ("signalled", None, 9, True), ("signalled", None, 11, False), ("exited", 143, None, True),
    ("closed", None, 15, True), ("exited", 137, None, True), ("exited", 1, None, False), ("timed_out", None, 9, False)])
def test_what_may_have_been_the_scheduler(why: str, status: int | None, number: int | None, is_killed: bool) -> None:
    assert killed(why, status, number) is is_killed


def test_a_batch_script_holds_odd_paths_as_they_are(tmp_path: Path) -> None:
    base = tmp_path / "it's $HOME"
    (base / "a").mkdir(parents=True)
    script = Path(handout.put_script(str(base), 1, 1, "/bin/echo", '"${SLURM_ARRAY_TASK_ID:?}"'))

    done = subprocess.run([script], env={"SLURM_ARRAY_TASK_ID": "4"}, capture_output=True, text=True, check=True)
    assert done.stdout == f"-IS {base}/a/element.zip {base} 1 1 4\n"
