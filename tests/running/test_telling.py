"""People are told at least once, whatever their command does and whatever dies; the run itself never notices."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from sshjobs.errors import HostError, UsageError
from sshjobs.model.spec import Job, JobSpec
from sshjobs.model.states import Outcome
from sshjobs.model.telling import MOST_NAMES, Notice, Recipient, Telling, telling_of
from sshjobs.network.contract import HostDown, HostUp
from sshjobs.running import telling
from sshjobs.running.courier import deliver
from sshjobs.running.telling import GRACE_S, MOST_LOST, Teller
from sshjobs.store.reader import RunReader
from sshjobs.store.rundir import RunPaths
from tests.cli.here import call_here
from tests.conftest import cli_environment
from tests.gjob.client import alive
from tests.hints import tries
from tests.lab.process import kill_all
from tests.lab.waiting import wait_until

#: Writes down what it is told: a line of the environment, and its standard input.
NOTE = 'echo "$SSHJOBS_EVENT $SSHJOBS_STATE $SSHJOBS_COUNT $SSHJOBS_JOBS" >> told; cat >> said'


@pytest.fixture
def here(tmp_path: Path, clean_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def carried(**keys: object) -> subprocess.CompletedProcess[str]:
    """Carry out a run called r: a job that fails twice, one that cannot run because of it, and one that is done."""
    jobs = [{"name": "$(touch pwned)", "argv": ["false"], "retries": 1}, {"name": "next", "argv": ["true"], "after": ["$(touch pwned)"]},
            {"name": "fine", "argv": ["true"]}]
    Path("jobs.json").write_text(json.dumps({"jobs": jobs, **keys}))
    return call_here("run", "jobs.json", "--name", "r", "-q")


def notices(name: str = "r") -> list[Notice]:
    with RunReader.open(RunPaths(Path("results"), name)) as reader:
        return reader.notices()


def test_commands_are_told_of_failures_after_the_last_retry_and_of_the_end(here: Path) -> None:
    done = carried(on_failure=NOTE, on_done=[[sys.executable, "-c", "import sys; open('args', 'w').write(repr(sys.argv[1:]))", "${{ run }}",
                                             "${{ done }}/${{ total }}", "$${{ x"]])
    assert done.returncode == 1, done.stderr
    run = here / "results" / "r"
    assert (run / "told").read_text() == "failure running 1 $(touch pwned)\n"
    said = json.loads((run / "said").read_text())
    assert (said["job"], said["jobs"], said["run"]) == ("$(touch pwned)", ["$(touch pwned)"], "r")
    assert (run / "args").read_text() == "['r', '1/3', '${{ x']"
    assert not (run / "pwned").exists()
    told = notices()
    assert [(one.event, one.tries, one.error) for one in told] == [("failure", 1, None), ("done", 1, None)]
    assert told[0].id == said["id"] and all(one.delivered for one in told)
    assert call_here("notices", "r").returncode == 0
    assert "not told" not in call_here("status", "r").stdout


@tries("{} not told yet{}; see: sshjobs notices {}")
def test_what_cannot_be_told_is_shown_and_told_later_with_the_same_id(here: Path) -> None:
    done = carried(on_done="test -e ../../mended || { echo ours: no such server >&2; exit 7; }; echo $SSHJOBS_ID > id")
    assert done.returncode == 1 and "on_done: test -e" in done.stderr + done.stdout
    assert "was not told: exit 7: ours: no such server" in done.stderr + done.stdout
    (notice,) = notices()
    assert (notice.delivered, notice.tries, notice.error) == (None, 1, "exit 7: ours: no such server")
    assert "1 notice not told yet; on_done: test" in call_here("status", "r").stdout
    assert json.loads(call_here("status", "r", "--json", "--summary").stdout)["untold"] == 1
    assert call_here("notices", "r").returncode == 1
    assert json.loads(call_here("notices", "r", "--json").stdout)["error"] == "exit 7: ours: no such server"
    assert call_here("notices", "r", "--again").stdout == "0 notices told, 1 not\n"
    Path("mended").touch()
    assert call_here("notices", "r", "--again").stdout == "1 notice told, 0 not\n"
    assert Path("results/r/id").read_text() == notice.id + "\n"
    assert notices()[0].tries == 3 and notices()[0].delivered is not None


@pytest.mark.parametrize(("command", "why"), [
    (["/no/such/program"], "cannot be started: [Errno 2] No such file or directory: '/no/such/program'"),
    ("kill -9 $$", "signal 9"), ("printf 'a\\033]0;x\\007b' >&2; exit 1", r"exit 1: a\x1b]0;x\x07b"), ("yes | head -c 9999999; exit 2", "exit 2: y"),
    ("exit 0 </no/such", "exit 2: /bin/sh: 1: cannot open /no/such: No such file"), ("true", None),
])
def test_whatever_a_command_does_is_a_line(command: object, why: str | None, here: Path) -> None:
    (recipient,) = telling_of({"on_done": command}).recipients["done"]
    told = deliver(Notice("1", "done", recipient, {"run": "r", "directory": str(here)}, 0.0), 30.0)
    assert told == why or (why is not None and told is not None and told.startswith("exit 2: ") and "/no/such" in told), told


def test_a_command_that_hangs_is_ended_with_all_that_it_started(here: Path) -> None:
    line = "sleep 600 & echo $! > pid; sleep 600"
    told = deliver(Notice("1", "done", Recipient("on_done", line=line), {"directory": str(here)}, 0.0), 0.5)
    assert told == "took longer than 0.5 s, and was ended"
    pid = int((here / "pid").read_text())
    wait_until(lambda: not alive(pid), 30)


def test_it_survives_a_manager_that_is_killed_while_it_tells(here: Path) -> None:
    jobs = [{"name": "bad", "argv": ["false"]}, {"name": "long", "commands": [f"until test -e {here}/go; do sleep 0.05; done"]}]
    Path("jobs.json").write_text(json.dumps({"jobs": jobs, "on_failure": "echo $SSHJOBS_ID >> ids; test -e ../../go || sleep 600"}))
    manager = subprocess.Popen([sys.executable, "-m", "sshjobs", "run", "jobs.json", "--name", "r", "-q"], env={**os.environ, **cli_environment()})
    ids = here / "results" / "r" / "ids"
    try:
        wait_until(lambda: manager.poll() is not None or (ids.exists() and ids.read_text()), 60)
        assert manager.poll() is None
    finally:
        manager.kill()
        manager.wait()
    (notice,) = notices()
    assert (notice.tries, notice.delivered) == (0, None)
    Path("go").touch()
    # Whatever the first one goes on doing is ended by it: it has a session of its own.
    assert call_here("resume", "r", "-q").returncode == 1
    assert ids.read_text() == f"{notice.id}\n{notice.id}\n"
    assert [one.delivered is not None for one in notices()] == [True]
    kill_all(_of_session(here))


def _of_session(here: Path) -> list[int]:
    """Return the shells that still tell, in the directory of the run."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.readlink(entry / "cwd") == str(here / "results" / "r"):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


class _Store:
    """A store that keeps notices, and is written at once when told."""

    def __init__(self) -> None:
        self.dirty, self.kept = False, dict[str, Notice]()

    def note_notice(self, notice: Notice) -> None:
        self.dirty, self.kept[notice.id] = True, notice

    def commit(self) -> None:
        self.dirty = False


class _Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        time.sleep(0)


def teller(told: Callable[[Notice], str | None], monkeypatch: pytest.MonkeyPatch, **keys: object) -> tuple[Teller, _Store, _Clock]:
    monkeypatch.setattr(telling, "deliver", told)
    store, clock = _Store(), _Clock()
    made = Teller(RunPaths(Path("/results"), "r"), store, clock, telling=telling_of(keys), waiting=[], complain=lambda text: None,  # type: ignore[arg-type]
                  wake=lambda: None)
    return made, store, clock


def test_a_thousand_failures_are_few_notices_and_each_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Notice] = []
    made, store, _ = teller(lambda notice: told.append(notice), monkeypatch, on_failure="x")
    for number in range(1000):
        job = Job(JobSpec("x", name=f"j-{number}"), number)
        job.outcome = Outcome.FAILED
        made.failed(job)
        if number % 100 == 99:
            store.commit()
            made.turn()
    made.finish(store.commit, lambda: False)
    assert sum(one.about["count"] for one in told) == 1000
    assert len(told) <= 11 and all(len(one.about["jobs"]) <= MOST_NAMES for one in told)
    assert {one.id for one in told} == set(store.kept) and all(one.delivered for one in store.kept.values())


def test_nothing_is_told_before_it_is_in_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Notice] = []
    made, store, _ = teller(lambda notice: told.append(notice), monkeypatch, on_failure="x")
    made.failed(Job(JobSpec("x", name="j"), 0))
    for _ in range(3):
        made.turn()
    assert made._busy is None and not told
    store.commit()
    made.finish(store.commit, lambda: False)
    assert len(told) == 1


def test_a_host_is_lost_after_a_minute_and_told_of_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Notice] = []
    made, store, clock = teller(lambda notice: told.append(notice), monkeypatch, on_host_lost="x")
    for _ in range(MOST_LOST + 3):
        made.hear(HostDown("h", HostError("refused", "h", "the connection was refused")))
        clock.now += GRACE_S - 1
        made.turn()
        made.hear(HostUp("h", {}))
        clock.now += 10
        made.turn()
        made.hear(HostDown("h", HostError("refused", "h", "the connection was refused")))
        for _ in range(3):
            clock.now += GRACE_S
            made.turn()
        made.hear(HostUp("h", {}))
    made.finish(store.commit, lambda: False)
    assert [one.about["message"] for one in told] == ["r: host h: the connection was refused"] * MOST_LOST
    made.hear(HostDown("k", HostError("auth", "k", "no key fits", lasting=True)))
    made.turn()
    made.finish(store.commit, lambda: False)
    assert told[-1].about["host"] == "k", "one that only a person can mend counts at once"


@tries("install it with: pip install 'sshjobs[notify]'; or tell by a command: on_failure")
def test_messages_go_out_by_apprise_and_no_password_is_shown(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = "fake://user:secret@host"
    if find_spec("apprise") is None:
        done = carried(notify=[address])
        assert (done.returncode, done.stdout) == (2, "") and "install it with: pip install 'sshjobs[notify]'" in done.stderr
        assert not Path("results").exists()
    (here / "lib").mkdir()
    (here / "lib" / "apprise.py").write_text(
        "class Apprise:\n    def add(self, url): self.url = url; return 'fake' in url\n"
        "    def notify(self, body, title):\n"
        "        print('secret'); open('/dev/stderr', 'w').write('secret'); open('sent', 'a').write(body + '\\n'); return 'host' in self.url\n")
    monkeypatch.setenv("PYTHONPATH", f"{here / 'lib'}{os.pathsep}{cli_environment()['PYTHONPATH']}")
    monkeypatch.syspath_prepend(str(here / "lib"))
    done = carried(notify=[address, "fake://user:secret@other", "zzz://secret"], notify_text="<${{ run }}> ${{ message }}")
    assert done.returncode == 1
    sent = (here / "sent").read_text().splitlines()
    assert sent[0] == "<r> r: $(touch pwned) failed: exit 1" and sent[-1].startswith("<r> r: failed: 1 of 3 jobs done")
    shown = done.stdout + done.stderr + call_here("notices", "r").stdout + call_here("status", "r").stdout
    assert "secret" not in shown and "the service did not take it" in shown and "apprise does not know such an address" in shown


@tries("write a URL of apprise: mailto://user:password@host", "at most {} can be told", "there are {}")
@pytest.mark.parametrize(("keys", "what"), [
    ({"on_done": ["echo", "${{ nam }}"]}, "on_done: nothing is called 'nam'"), ({"on_done": ["${{ run"]}, "on_done: '${{ run' is not closed"),
    ({"on_done": 3}, "on_done must be a line of shell"), ({"on_done": [[]]}, "on_done must be a line of shell"), ({"on_done": ["a", 3]}, "on_done must be a line"),
    ({"on_failure": [["x"]] * 21}, "on_failure has 21 commands"), ({"notify": "mail me"}, "notify cannot be 'mail me'"), ({"notify": [3]}, "notify must be a text"),
    ({"notify": "x://y", "notify_text": "${{ zzz }}"}, "notify_text: nothing is called 'zzz'"), ({"on_done": "x" * 10_001}, "on_done is too long"),
])
def test_what_breaks_is_told_before_anything_starts(keys: dict[str, object], what: str, here: Path) -> None:
    with pytest.raises(UsageError) as raised:
        telling_of(keys)
    assert what in str(raised.value)
    done = carried(**keys)
    (line,) = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (2, "") and line.startswith("jobs.json:1:") and not Path("results").exists()


def test_settings_tell_too_and_nobody_twice(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "config.toml").write_text(f"on_failure = {json.dumps(NOTE)}\non_done = ['touch', 'over']\n[profiles.p]\non_done = '${{{{'\n")
    monkeypatch.setenv("SSHJOBS_CONFIG", str(here / "config.toml"))
    carried(on_failure=NOTE)
    assert (here / "results/r/told").read_text().count("\n") == 1 and (here / "results/r/over").exists()
    (here / "config.toml").write_text("on_done = ['${{ nam }}']\n")
    told = call_here("ls")
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr.startswith(f"{here}/config.toml:1:1: on_done: nothing is called 'nam'; there are id, event")


def test_what_was_stored_is_read_again_and_nonsense_is_refused() -> None:
    made = telling_of({"on_done": "a", "on_failure": [["b", "c"]], "notify": ["x://y"], "notify_text": "z"})
    assert Telling.from_dict(json.loads(json.dumps(made.as_dict()))) == made and bool(made) and not Telling.from_dict(None)
    nonsense: list[dict[str, object]] = [{"done": [{}]}, {"done": [3]}, {"done": [Recipient("k").as_dict()]},
                                         {"done": [{**Recipient("k", "l").as_dict(), "argv": [3]}]}]
    for wrong in nonsense:
        with pytest.raises(UsageError):
            Telling.from_dict(wrong)
