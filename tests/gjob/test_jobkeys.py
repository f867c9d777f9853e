"""The keys of a job on its host: which values a launch may hold, and what each key does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.gjob.client import FarHost, Link
from tests.gjob.test_jobs import ODD
from tests.gjob.test_wire import LONG, SHA, passes

#: By key: what passes and what does not.
SPECS: list[tuple[str, list[Any], list[Any]]] = [
    ("argv", [["x"], ["x", ""], ["x"] * 5], [[], [""], ["a\0"], ["x", 1], "x", None, {"x": 1}, [None]]),
    ("strict", [True, False], [1, None]),
    ("login", [True, False], [0, "yes"]),
    ("env", [{}, {"A": ""}, {"a b": "x=y"}], [{"": "x"}, {"A=B": "x"}, {"A": 1}, {"A": "x\0"}, {"A\0": "x"}, [], None]),
    ("cwd", [None, "x", "/x", LONG], ["", LONG + "x", "a\0", 1]),
    ("cpus", [1, 4096], [0, -1, 4097, 1.0, True, None, "1"]),
    ("memory", [1, 1 << 50], [0, -1, 1 << 63, 1.0, True, None, "1"]),
    ("scratch", [1, 1 << 50], [0, -1, 1 << 63, 1.0, True, None, "1"]),
    ("gpus", [{"uuids": ["GPU-1"], "busy": 0}, {"uuids": ["MIG-GPU-1/7/0", "0"], "busy": 1 << 59},
              {"uuids": ["a"] * 256, "busy": (1 << 60) - 1}, {"uuids": ["a" * 100], "busy": 0}],
     [None, [], {}, {"uuids": ["GPU-1"]}, {"uuids": [], "busy": 0}, {"uuids": ["a,b"], "busy": 0}, {"uuids": ["a b"], "busy": 0},
      {"uuids": [""], "busy": 0}, {"uuids": ["a" * 101], "busy": 0}, {"uuids": ["a"] * 257, "busy": 0}, {"uuids": [1], "busy": 0},
      {"uuids": ["a"], "busy": -1}, {"uuids": ["a"], "busy": 1 << 60}, {"uuids": ["a"], "busy": 1.0}, {"uuids": "a", "busy": 0}, {"uuids": ["a"], "busy": 0, "x": 1}]),
    ("timeout", [None, 0, 1.5], [-1, "1", True, 1e12]),
    ("lease", [None, 0.5, 600], [0, 0.0, -1, "1", True]),
    ("nice", [-20, 0, 19], [-21, 20, 1.0, None, True]),
    ("leftovers", ["kill", "keep"], ["", "none", None, True]),
    ("output", ["file", "pipe"], ["", "pty", None, True]),
    ("output_limit", [0, 1, 1 << 50], [-1, (1 << 50) + 1, 1.0, True, None, "1"]),
    ("stdin", [None, SHA], ["", "0" * 63, 1]),
    ("listing", [None, SHA], ["", "0" * 65, []]),
    ("files", [[], [["a", None, 0]], [["a/b.c", SHA, 0o7777]], [["x" * 4096, SHA, 0]], [["a", SHA, -2]], [["..a", None, 1]],
               [["a", "b", -1]], [["a/b", "../c", -1]], [["a/b/c", "../../d/..", -1]], [["a", "./b//", -1]], [["a", LONG, -1]]],
     [None, {}, "a", ["a"], [["a", None]], [["a", None, 0, 0]], [["", None, 0]], [["/a", None, 0]], [["a/", None, 0]],
      [["a//b", None, 0]], [["./a", None, 0]], [["a/../b", None, 0]], [["..", None, 0]], [["a\0", None, 0]],
      [[LONG + "x", None, 0]], [["a", None, 0o10000]], [["a", None, -2]], [["a", None, None]], [["a", None, 1.0]],
      [["a", None, True]], [["a", "0" * 63, 0]], [["a", 1, 0]], [[1, None, 0]],
      [["a", "", -1]], [["a", "..", -1]], [["a/b", "../..", -1]], [["a/b", "../../a", -1]], [["a/b", "c/../../../d", -1]],
      [["a", "/b", -1]], [["a", "b\0", -1]], [["a", None, -1]], [["a", LONG + "x", -1]], [["../a", "b", -1]]]),
]


@pytest.fixture
def link(far: FarHost) -> Link:
    return far.connect()


@pytest.mark.parametrize(("key", "right", "wrong"), SPECS, ids=[one[0] for one in SPECS])
def test_a_value_of_a_launch_passes_up_to_the_ends_of_its_range(key: str, right: list[Any], wrong: list[Any]) -> None:
    def launches(value: Any) -> bool:
        return passes("launch", spec={**({} if key == "argv" else {"script": "x"}), key: value})

    assert [value for value in right if not launches(value)] == []
    assert [value for value in wrong if launches(value)] == []


def test_a_wrapper_gets_the_script_or_the_words_whole(link: Link) -> None:
    wrap = ["sh", "-c", 'echo "$# in $PWD"; exec env WRAPPED=yes "$@"', "wrapper"]
    end = link.run("1.1", wrap=wrap, script='echo $WRAPPED; echo "$(false)$WRAPPED" | cat; false | cat; echo not here\n')
    assert (end["why"], end["status"]) == ("exited", 1), "it is entered once, and the script is as strict as without"
    first, *rest = link.stdout("1.1").decode().splitlines()
    assert (first.partition(" in ")[0], rest) == ("5", ["yes", "yes"])
    link.run("2.1", "printf", "%s\\0", *ODD, wrap=wrap)
    assert link.stdout("2.1").partition(b"\n")[2].split(b"\0")[:-1] == [os.fsencode(word) for word in ODD]


def test_a_wrapper_that_is_not_there_is_told_as_any_program(link: Link) -> None:
    for end in (link.run("1.1", wrap=["no-such-wrapper", "x"], script="true\n"),
                link.run("2.1", "true", wrap=["no-such-wrapper", "x"])):
        assert end["why"] == "cannot_start" and end["msg"].startswith("no such program: no-such-wrapper")


def test_the_bash_of_a_script_is_that_of_its_wrapper(far: FarHost, tmp_path: Path) -> None:
    box = tmp_path / "box"
    box.mkdir()
    for name in ("env", "echo"):
        (box / name).symlink_to(f"/usr/bin/{name}")
    (box / "bash").write_text('#!/bin/sh\necho "the bash of the box: $*"\n')
    (box / "bash").chmod(0o755)
    link = far.connect()
    link.run("1.1", wrap=["env", f"PATH={box}:/usr/bin:/bin"], script="true\n")
    assert link.stdout("1.1").startswith(b"the bash of the box: -e -o pipefail /")


def test_a_job_knows_how_much_memory_it_asked_for(link: Link) -> None:
    link.run("1.1", script="echo $SSHJOBS_MEMORY\n", memory=5 << 30)
    link.run("2.1", script="echo ${SSHJOBS_MEMORY-none}\n")
    assert (link.stdout("1.1"), link.stdout("2.1")) == (b"%d\n" % (5 << 30), b"none\n")


def test_a_strict_script_ends_at_the_first_failure(link: Link) -> None:
    assert link.run("1.1", script="false\necho on\n")["status"] == 1
    assert link.run("2.1", script="false | true\necho on\n")["status"] == 1
    assert link.stdout("1.1") + link.stdout("2.1") == b""


def test_a_script_that_is_not_strict_goes_on(link: Link) -> None:
    assert link.run("1.1", script="false\nfalse | true\necho on\n", strict=False)["status"] == 0
    assert link.stdout("1.1") == b"on\n"


@pytest.mark.parametrize("strict", [True, False])
def test_a_login_shell_reads_the_profile_without_being_strict_about_it(far: FarHost, strict: bool) -> None:
    (far.home / ".bash_profile").write_text("false\nFROM_PROFILE=yes\n")
    link = far.connect()
    end = link.run("1.1", script="echo $FROM_PROFILE $LINENO\nfalse\necho on\n", login=True, strict=strict)
    assert end["status"] == (1 if strict else 0)
    assert link.stdout("1.1") == (b"yes 1\n" if strict else b"yes 1\non\n")


def test_working_directory_is_the_attempts_own_unless_told(far: FarHost) -> None:
    (far.home / "there").mkdir()
    link = far.connect()
    link.run("1.1", "pwd")
    assert Path(os.fsdecode(link.stdout("1.1").strip())) == far.directory / "w" / "1.1"
    for uid, cwd in (("2.1", str(far.home / "there")), ("3.1", "~/there")):
        link.run(uid, "pwd", "-P", cwd=cwd)
        assert link.stdout(uid).decode().strip() == os.path.realpath(far.home / "there")
    end = link.run("4.1", "pwd", cwd="/no/such/place")
    assert (end["why"], end["msg"]) == ("cannot_start", "no such directory: /no/such/place")


def test_nice_is_added(link: Link) -> None:
    link.run("1.1", "nice", nice=7)
    link.run("2.1", "nice")
    assert int(link.stdout("1.1")) - int(link.stdout("2.1")) == 7


def test_a_job_of_several_slots_is_told_how_many_threads_to_use_where_nobody_said_so(far: FarHost) -> None:
    far.environ.update(MKL_NUM_THREADS="7")
    link = far.connect()
    script = "echo $SSHJOBS_CPUS $OMP_NUM_THREADS $MKL_NUM_THREADS $OPENBLAS_NUM_THREADS $BLIS_NUM_THREADS\n"
    link.run("1.1", script=script, cpus=4, env={"OPENBLAS_NUM_THREADS": "2"})
    link.run("2.1", script="echo ${OMP_NUM_THREADS-free} ${SSHJOBS_CPUS-free}\n")
    assert (link.stdout("1.1"), link.stdout("2.1")) == (b"4 4 7 2 4\n", b"free free\n")
