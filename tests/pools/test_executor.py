"""Functions called on hosts: what programs see of it, and what is kept when a program is killed."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from sshjobs import CallError, Executor, NoHostError, SshjobsError, UsageError
from sshjobs.errors import LocalError
from sshjobs.pools.chunks import RemoteTraceback
from sshjobs.store import RunReader, rundir
from tests.conftest import REPOSITORY
from tests.hints import tries
from tests.lab import HostOptions, Lab
from tests.lab.needed import needed_lab
from tests.lab.waiting import wait_until

cloudpickle.register_pickle_by_value(sys.modules[__name__])
PATIENCE = 60
#: Before any test has another home.
PYTHONS = sorted(Path.home().glob(".pyenv/versions/3.*/bin/python"))


@pytest.fixture
def executor(clean_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Executor]:
    monkeypatch.chdir(tmp_path)
    with Executor(slots=2) as made:
        yield made


@pytest.fixture
def here(clean_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def power(x: int, y: int = 2) -> int:
    return x**y


def note(path: str, value: Any) -> Any:
    """Write down that this was called."""
    with open(path, "a") as file:
        file.write(f"{value}\n")
    return value


def note_and_wait(path: str, value: Any) -> Any:
    import os
    import time

    note(path, value)
    while not os.path.exists(path + ".go"):
        time.sleep(0.01)
    return value


def fail(word: str) -> None:
    raise KeyError(word)


class Odd(Exception):
    def __init__(self, one: int, two: int):
        super().__init__(f"{one} and {two}")


def fail_oddly() -> None:
    raise Odd(1, 2)


def test_a_function_is_called_and_its_result_comes_back(executor: Executor) -> None:
    assert executor.submit(power, 3).result(PATIENCE) == 9
    assert executor.submit(power, 2, y=10).result(PATIENCE) == 1024
    assert executor.submit(lambda: {"a": [1, (2, None)], "b": b"\0\xff"}).result(PATIENCE) == {
        "a": [1, (2, None)], "b": b"\0\xff"}


def test_map_keeps_the_order_and_as_completed_does_not(executor: Executor) -> None:
    assert list(executor.map(power, range(20))) == [n * n for n in range(20)]
    assert list(executor.map(power, [2, 3, 4], [1, 2])) == [2, 9], "it ends with the shortest"
    assert list(executor.map(power, range(20), chunksize=7)) == [n * n for n in range(20)]
    slow, fast = executor.submit(time.sleep, 0.5), executor.submit(power, 2)
    assert next(futures.as_completed([slow, fast], PATIENCE)) is fast


def test_what_a_function_raises_is_raised_with_its_traceback(executor: Executor) -> None:
    with pytest.raises(KeyError, match="missing") as caught:
        executor.submit(fail, "missing").result(PATIENCE)
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    assert "in fail" in str(caught.value.__cause__) and "callee.py" not in str(caught.value.__cause__)
    with pytest.raises(CallError, match="Odd: 1 and 2"):
        # An exception that cannot be pickled and loaded again is told as it would be printed.
        executor.submit(fail_oddly).result(PATIENCE)


@pytest.mark.parametrize("call, words", [
    ((os.kill, 0, signal.SIGKILL), "signalled, signal 9"),
    ((os._exit, 3), "failed, exit 3"),
    ((os._exit, 0), "without an answer"),
    ((sys.exit, "enough"), "enough"),
])
def test_a_call_that_ends_its_process_is_an_error_and_others_go_on(executor: Executor, call: tuple, words: str) -> None:
    function = (lambda *args: os.kill(os.getpid(), args[1])) if call[0] is os.kill else call[0]
    with pytest.raises((CallError, SystemExit), match=words):
        executor.submit(function, *call[1:]).result(PATIENCE)
    assert executor.submit(power, 2).result(PATIENCE) == 4


@tries("leave out what only lives in this process, such as open files, locks and connections")
def test_what_cannot_be_sent_is_told_at_once(executor: Executor) -> None:
    with pytest.raises(UsageError, match="an argument of power cannot be sent.*leave out"):
        executor.submit(power, 2, y=sys._getframe())
    assert executor.submit(power, 2).result(PATIENCE) == 4
    with pytest.raises(UsageError, match="a call takes a function"):
        executor.submit(3)  # type: ignore[arg-type]


def test_a_result_that_cannot_be_sent_is_an_error(executor: Executor) -> None:
    with pytest.raises(TypeError, match="cannot pickle"):
        executor.submit(sys._getframe).result(PATIENCE)


@tries("install the module on the hosts, for the Python that serves them (python= in the hosts file), send it by files=, or send "
       "its code: cloudpickle.register_pickle_by_value(module)")
def test_a_module_that_is_not_there_is_named_with_what_to_do(executor: Executor, here: Path,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "ours_alone.py").write_text("def f():\n    return 'found'\n")
    monkeypatch.syspath_prepend(here)
    from ours_alone import f  # type: ignore[import-not-found]

    with pytest.raises(CallError, match="No module named 'ours_alone'.*register_pickle_by_value"):
        executor.submit(f).result(PATIENCE)
    with Executor(slots=1, files=["ours_alone.py"]) as second:
        assert second.submit(f).result(PATIENCE) == "found"
        assert second.submit(f).result(PATIENCE) == "found"


@tries("install it: pip install 'sshjobs[functions]'")
def test_a_missing_cloudpickle_is_named(executor: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as context:
        context.setitem(sys.modules, "cloudpickle", None)
        with pytest.raises(UsageError, match="calls need cloudpickle.*pip install"):
            executor.submit(power, 2)
    assert executor.submit(power, 2).result(PATIENCE) == 4


@tries("for a directory: results_dir")
def test_the_directory_of_the_run_has_another_name_than_the_form_of_results(here: Path) -> None:
    with pytest.raises(UsageError, match="results_dir"):
        Executor(results="out/")
    with Executor(results_dir="out/", slots=1) as executor:
        assert executor.submit(power, 2).result(PATIENCE) == 4
    assert (here / "out" / executor.run.name / "run.db").exists()


def test_environment_and_limits_are_those_of_jobs(here: Path) -> None:
    with Executor(slots=1, env={"WORD": "yes", "N": 3}) as executor:
        assert executor.submit(os.getenv, "WORD").result(PATIENCE) == "yes"
        assert executor.submit(os.getenv, "N").result(PATIENCE) == "3"
    with Executor(slots=1, timeout=0.5) as executor, pytest.raises(CallError, match="timed out"):
        executor.submit(time.sleep, 60).result(PATIENCE)
    for wrong in ({"retries": -1}, {"results": "yaml"}, {"results": "out/"}, {"timeout": 0}, {"env": 3}, {"name": "a/b"}):
        with pytest.raises(UsageError):
            Executor(**wrong)


def test_a_call_that_waits_is_cancelled_and_one_that_runs_is_not(here: Path) -> None:
    ledger = here / "ledger"
    with Executor(slots=1) as executor:
        runs = executor.submit(note_and_wait, str(ledger), 1)
        waits = [executor.submit(note, str(ledger), n) for n in (2, 3)]
        wait_until(runs.running, PATIENCE, "a start")
        assert not runs.cancel()
        assert waits[0].cancel() and waits[0].cancel() and waits[0].cancelled()
        with pytest.raises(futures.CancelledError):
            waits[0].result(PATIENCE)
        Path(f"{ledger}.go").touch()
        assert (runs.result(PATIENCE), waits[1].result(PATIENCE)) == (1, 3)
    assert ledger.read_text().split() == ["1", "3"]


def test_the_end_of_a_block_waits_and_an_exception_cancels_what_waits(here: Path) -> None:
    ledger = here / "ledger"
    with Executor(slots=2) as executor:
        calls = [executor.submit(note, str(ledger), n) for n in range(5)]
    assert all(call.done() for call in calls) and len(ledger.read_text().split()) == 5
    with pytest.raises(RuntimeError):
        executor.submit(power, 2)
    with pytest.raises(ZeroDivisionError), Executor(slots=1) as executor:
        calls = [executor.submit(note_and_wait, f"{ledger}2", n) for n in range(5)]
        wait_until(calls[0].running, PATIENCE, "a start")
        Path(f"{ledger}2.go").touch()
        raise ZeroDivisionError
    assert all(call.done() for call in calls)
    assert calls[0].result() == 0 and any(call.cancelled() for call in calls)


def test_json_results_are_no_pickles(here: Path) -> None:
    with Executor(slots=1, results="json") as executor:
        call = executor.submit(dict, a=[1, None, "ü"])
        assert call.result(PATIENCE) == {"a": [1, None, "ü"]}
        assert executor.run.paths.stdout(call.name).read_text() == '{"value": {"a": [1, null, "\\u00fc"]}}\n'
        with pytest.raises(CallError, match="KeyError") as caught:
            executor.submit(fail, "missing").result(PATIENCE)
        assert "in fail" in str(caught.value.__cause__)
        with pytest.raises(CallError, match="not JSON serializable"):
            executor.submit(set).result(PATIENCE)


def test_large_arguments_travel_once(here: Path) -> None:
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(100_000.0)
    with Executor(slots=2) as executor:
        def change(a: Any, n: int) -> float:
            a[0] = n
            return float(a.sum())

        assert list(executor.map(change, [array] * 4, range(4))) == [array.sum() + n for n in range(4)]
        assert array[0] == 0
        parts = list((executor.run.paths.root / "calls").glob("*.part"))
        assert [part.stat().st_size for part in parts] == [array.nbytes]


PROGRAM = """
import sys
from sshjobs import Executor

def cell(ledger, n):
    import os, time
    with open(ledger, "a") as file:
        file.write(f"{n}\\n")
    while n >= int(sys.argv[2]) and not os.path.exists(ledger + ".go"):
        time.sleep(0.01)
    return Point(n * n)

class Point:
    def __init__(self, x):
        self.x = x

if __name__ == "__main__":
    with Executor(slots=2, name="cells") as executor:
        found = executor.map(cell, [sys.argv[1]] * 6, range(6))
        print([point.x for point in found])
"""


def program(here: Path, *arguments: str) -> subprocess.Popen[str]:
    (here / "program.py").write_text(PROGRAM.replace("int(sys.argv[2])", arguments[-1]))
    return subprocess.Popen([sys.executable, "program.py", *arguments], cwd=here, stdout=subprocess.PIPE, text=True,
                            env={**os.environ, "PYTHONPATH": str(REPOSITORY)})


def test_a_program_that_was_killed_finds_its_results(here: Path) -> None:
    ledger = here / "ledger"
    killed = program(here, str(ledger), "3")
    try:
        wait_until(lambda: ledger.exists() and {"0", "1", "2", "3"} <= set(ledger.read_text().split()), PATIENCE, "four calls")
        store = here / "results" / "cells"

        def done() -> int:
            with RunReader.open(rundir.find_run(here / "results", "cells")) as reader:
                return int(reader.summary().counts["done"])

        wait_until(lambda: done() == 3, PATIENCE, "three results")
        assert store.is_dir()
    finally:
        killed.kill()
        killed.wait()
    Path(f"{ledger}.go").touch()
    again = program(here, str(ledger), "3")
    out, _ = again.communicate(timeout=PATIENCE)
    assert out == "[0, 1, 4, 9, 16, 25]\n"
    assert sorted(ledger.read_text().split()) == ["0", "1", "2", "3", "4", "5"], "each was called once"
    third = program(here, str(ledger), "3")
    out, _ = third.communicate(timeout=PATIENCE)
    assert out == "[0, 1, 4, 9, 16, 25]\n"
    assert len(ledger.read_text().split()) == 6


def test_calls_that_failed_are_called_again_by_name_and_others_are_not(here: Path) -> None:
    ledger = here / "ledger"

    def picky(n: int) -> int:
        note(str(ledger), n)
        if n == 1 and not (here / "mended").exists():
            raise ValueError("not mended")
        return n

    for _ in range(2):
        with Executor(slots=1, name="picky") as executor:
            calls = [executor.submit(picky, n) for n in (0, 1, 0)]
            if (here / "mended").exists():
                assert [call.result(PATIENCE) for call in calls] == [0, 1, 0]
            else:
                with pytest.raises(ValueError, match="not mended"):
                    calls[1].result(PATIENCE)
        (here / "mended").touch()
    # Of two calls that are alike each is called once.
    assert sorted(ledger.read_text().split()) == ["0", "0", "1", "1"]


def test_a_run_has_one_program_at_a_time(here: Path) -> None:
    with Executor(slots=1, name="mine"), pytest.raises(SshjobsError, match="mine"):
        Executor(slots=1, name="mine")


def test_a_run_that_can_note_nothing_for_a_while_is_waited_for(executor: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    request = executor.run.request
    refused: list[str] = []

    def refuse_twice(wanted: dict[str, Any]) -> dict[str, Any]:
        if len(refused) < 2:
            refused.append(wanted["do"])
            raise LocalError("the manager waits and can note nothing")
        return request(wanted)

    monkeypatch.setattr(executor.run, "request", refuse_twice)
    assert executor.submit(power, 3).result(PATIENCE) == 9
    assert refused == ["add", "add"]


def test_no_host_is_an_error_of_each_call(here: Path) -> None:
    with Executor(["nosuch.invalid"]) as executor:
        calls = [executor.submit(power, n) for n in range(3)]
        for call in calls:
            with pytest.raises(NoHostError):
                call.result(PATIENCE)


def test_what_is_wrong_with_a_host_is_logged_once(here: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "sshjobs.pools"), Executor(["localhost slots=1"]) as executor:
        assert executor.submit(power, 3).result(PATIENCE) == 9
        for event in 3 * [{"event": "host", "host": "b", "state": "away", "kind": "refused", "reason": "b: it refuses"},
                          {"event": "warning", "host": "b", "reason": "its clock is wrong"}]:
            executor._hear(event)
    assert caplog.messages == ["b: it refuses", "b: its clock is wrong"]


# -- over ssh --------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with needed_lab(4, options=HostOptions(python=sys.executable)) as made:
        yield made


@pytest.fixture
def over_ssh(lab: Lab, here: Path) -> Callable[..., Executor]:
    def make(hosts: list[str] | None = None, **options: Any) -> Executor:
        return Executor(hosts or [f"{host.name} slots=2" for host in lab.hosts], ssh_config=str(lab.ssh_config), **options)

    return make


def where() -> str:
    import os

    return os.uname().nodename


def test_calls_are_spread_over_hosts_and_leave_nothing(over_ssh: Callable[..., Executor], lab: Lab) -> None:
    with over_ssh() as executor:
        def place(n: int) -> tuple[str, int]:
            import time

            time.sleep(0.2)
            return where(), n

        told = list(executor.map(place, range(24)))
    assert [n for _, n in told] == list(range(24))
    assert {name for name, _ in told} == {host.name for host in lab.hosts}
    for host in lab.hosts:
        assert host.ssh("ls -A ~/.sshjobs 2>/dev/null | grep -v '^cache$' || true").stdout == ""


def test_a_killed_program_goes_on_over_ssh_where_it_stopped(over_ssh: Callable[..., Executor], lab: Lab, here: Path) -> None:
    # Hosts and this machine share no file: what was called is seen by the pids that come back.
    def pid(n: int) -> tuple[int, int]:
        import os

        return n, os.getpid()

    with over_ssh(name="kept") as executor:
        first = list(executor.map(pid, range(8)))
    with over_ssh([f"{host.name} slots=2" for host in lab.hosts[:3]], name="kept") as executor:
        second = list(executor.map(pid, range(10)))
    assert second[:8] == first and [n for n, _ in second] == list(range(10))


def test_a_host_of_another_python_is_named_and_left_out(over_ssh: Callable[..., Executor], lab: Lab, tmp_path: Path,
                                                        caplog: pytest.LogCaptureFixture) -> None:
    other = next((path for path in PYTHONS if path.parts[-3].rpartition(".")[0] != f"3.{sys.version_info.minor}"), None)
    if other is None:
        pytest.skip("there is one Python only")
    with Lab(2, options=HostOptions(python=str(other))) as second, caplog.at_level(logging.WARNING, "sshjobs.pools"):
        with Executor([second.hosts[0].name], ssh_config=str(second.ssh_config)) as executor:
            with pytest.raises(CallError, match="python here is .*, and the calls need"):
                executor.submit(where).result(PATIENCE)
    assert "left out" in caplog.text and second.hosts[0].name in caplog.text
