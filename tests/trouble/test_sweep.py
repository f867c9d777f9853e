"""A few of the cases of ``make errnos``, chosen by a seed; and whether the listing of places finds them."""

from __future__ import annotations

import ast
import os
import random
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.trouble import places, sweep

#: How many cases of each scenario are played here; all of them by ``make errnos``.
PLAYED = {"run": 12, "resume": 3, "command": 1}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def all_cases(cache: Path) -> list[tuple[str, int, str]]:
    return sweep.cases(cache)


def test_places_are_found_whatever_the_call_is_part_of() -> None:
    source = ("import os\n"
              "with open('a') as file:\n"
              "    data = os.read(os.open('b', 0), 1) or path.read_bytes()\n"
              "os.getpid(); os.path.exists('c'); other()\n")
    found = list(places.listed(source, "x.py"))
    assert [(one.key, one.call) for one in found] == [
        ("x.py:2:5", "open"), ("x.py:3:11", "os.read"), ("x.py:3:19", "os.open"), ("x.py:3:42", "path.read_bytes")]


def test_an_instrumented_module_does_what_it_did() -> None:
    source = "import os\ndef f(*names, **more):\n    return [os.lstat(name, **more).st_size for name in names]\n"
    told: list[str] = []

    def hook(key: str, function, *arguments, **named):
        told.append(key)
        return function(*arguments, **named)
    names: dict = {places.HOOK: hook}
    exec(compile(places.instrumented(source, "y.py"), "y.py", "exec"), names)
    assert names["f"](__file__, dir_fd=None) == [os.stat(__file__).st_size]
    assert told == ["y.py:3:12"]


def test_every_place_that_a_run_reaches_is_in_the_listing(all_cases: list[tuple[str, int, str]]) -> None:
    listed = set(sweep.places())
    reached = {place for place, _, _ in all_cases}
    assert reached <= listed
    # The store, the outputs, the inputs, the sockets and the processes: a scenario that missed one would say nothing of it.
    files = {place.partition(":")[0] for place in reached}
    assert {"store/writer.py", "store/database.py", "network/session/output_files.py", "network/staging/digests.py",
            "running/control.py", "network/transport/base.py", "network/transport/pipes.py"} <= files


def test_every_listed_place_is_a_call(all_cases: list[tuple[str, int, str]]) -> None:
    for place in places.listed_below(REPOSITORY / "sshjobs" / "store"):
        text = (REPOSITORY / "sshjobs" / "store" / place.file).read_text()
        assert any(isinstance(node, ast.Call) and (node.lineno, node.col_offset) == (place.line, place.column)
                   for node in ast.walk(ast.parse(text)))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("scenario", PLAYED)
def test_a_call_that_fails_here_stops_nothing_for_good_and_blames_nobody(
        all_cases: list[tuple[str, int, str]], cache: Path, scenario: str) -> None:
    seed = random.randrange(10_000)
    some = sweep.chosen([case for case in all_cases if case[2] == scenario], PLAYED[scenario], seed)
    wrong = {str(case): found for case in (sweep.Case(*one) for one in some) if (found := case.run(cache))}
    assert wrong == {}, f"seed {seed}"
