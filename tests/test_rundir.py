"""Names and layout of run directories."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sshjobs.errors import RunExistsError, RunNotFoundError, SshjobsError, UsageError
from sshjobs.store.rundir import (
    RunPaths,
    check_run_name,
    choose_name,
    create_run,
    discard_run,
    find_run,
    job_directory_name,
    list_runs,
    names_run,
    write_private,
)


def make_run(results: Path, name: str) -> RunPaths:
    paths = create_run(results, name=name)
    paths.store.touch()
    return paths


def test_a_run_has_its_promised_names(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path, "sweep-3")
    root = tmp_path / "sweep-3"
    assert paths.root == root
    assert paths.store == root / "run.db"
    assert paths.jobfile == root / "jobfile.yaml"
    assert paths.hosts == root / "hosts.txt"
    assert paths.job("a b") == root / "jobs/a b"
    assert paths.stdout("sim-1") == root / "jobs/sim-1/stdout"
    assert paths.stderr("sim-1") == root / "jobs/sim-1/stderr"
    assert paths.files("sim-1") == root / "jobs/sim-1/files"
    assert paths.attempt("sim-1", 2) == root / "jobs/sim-1/attempt-2"
    assert not root.exists()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc", "../x", "a\0b", "a\nb", "\x1b[0m", "x" * 241,
                                  "ä" * 121])
def test_a_job_whose_name_could_leave_its_directory_has_none(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        RunPaths(tmp_path, "r").stdout(name)


@pytest.mark.parametrize("name", ["sim-1", "...", "-rf", "a b", "é", "\udcff", "x" * 240, "$(x)", ".hidden"])
def test_a_job_may_be_called_what_a_file_may_be_called(name: str) -> None:
    assert job_directory_name(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", "-x", ".x", "a b", "a/b", "a\n", "$x", "a;b", "x" * 241, "+a"])
def test_a_bad_name_for_a_run_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="a run cannot be called"):
        create_run(tmp_path, name=name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["sweep-3", "1", "größe_2", "a.b+c=1,d@e"])
def test_a_good_name_for_a_run_is_taken(name: str) -> None:
    assert check_run_name(name) == name


def test_runs_are_numbered_on(tmp_path: Path) -> None:
    results = tmp_path / "deep/results"
    assert [create_run(results, stem="sweep").name for _ in range(3)] == ["sweep-1", "sweep-2", "sweep-3"]
    (results / "sweep-9x").mkdir()
    (results / "sweep-²").mkdir()
    (results / "sweep-11").mkdir()
    (results / "sweep-2").rename(results / "other")
    assert create_run(results, stem="sweep").name == "sweep-12"
    assert create_run(results, stem="swee").name == "swee-1"


@pytest.mark.parametrize(
    ("stem", "name"),
    [("-", "run-1"), ("../x", "x-1"), ("my jobs; rm", "my-jobs-rm-1"), (".hidden", "hidden-1"), ("", "run-1"),
     ("-rf", "rf-1"), ("größe", "größe-1"), ("x" * 300, "x" * 228 + "-1")],
)
def test_any_jobfile_name_makes_a_good_run_name(tmp_path: Path, stem: str, name: str) -> None:
    assert choose_name(tmp_path, stem) == name
    assert check_run_name(name) == name


def test_of_many_that_want_a_name_at_once_each_gets_its_own(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        names = [paths.name for paths in pool.map(lambda _: create_run(tmp_path, stem="s"), range(40))]
        assert sorted(names) == sorted(f"s-{n}" for n in range(1, 41))

        def attempt(_: int) -> bool:
            try:
                create_run(tmp_path, name="mine")
            except RunExistsError:
                return False
            return True

        assert sum(pool.map(attempt, range(40))) == 1


def test_only_the_owner_may_look_into_a_run(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        paths = create_run(tmp_path / "new")
        write_private(paths.jobfile, "jobs: []\n")
    finally:
        os.umask(before)
    for path in (tmp_path / "new", paths.root, paths.jobs):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    for path in (paths.jobfile, paths.marker):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_is_replaced_as_a_whole_and_links_are_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write_private(path, b"\xff\0")
    write_private(path, "\udcff")
    assert path.read_bytes() == b"\xff"
    assert [entry.name for entry in tmp_path.iterdir()] == ["f"]
    (tmp_path / "f.new").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        write_private(path, "x")
    assert not (tmp_path / "elsewhere").exists()


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    make_run(tmp_path, "mine")
    with pytest.raises(RunExistsError, match="resume that run"):
        create_run(tmp_path, name="mine")
    (tmp_path / "file").touch()
    with pytest.raises(RunExistsError):
        create_run(tmp_path, name="file")
    create_run(tmp_path, name="half")
    with pytest.raises(RunExistsError, match="cut short and nothing ran"):
        create_run(tmp_path, name="half")


def test_a_run_that_could_not_be_started_gives_its_name_back(tmp_path: Path) -> None:
    paths = create_run(tmp_path, name="mine")
    discard_run(paths)
    paths = make_run(tmp_path, "mine")
    discard_run(paths)
    assert paths.store.exists()


def test_results_that_cannot_be_made_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for act in (lambda: create_run(tmp_path / "file/x"), lambda: create_run(tmp_path / "file/x", name="n"),
                lambda: list_runs(tmp_path / "file")):
        with pytest.raises(SshjobsError, match="Not a directory") as caught:
            act()
        assert "\n" not in str(caught.value)


def test_the_newest_run_is_the_one_made_last_wherever_it_was_copied(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        make_run(tmp_path, name)
    os.utime(tmp_path / "b", (2e9, 2e9))
    os.utime(tmp_path / "b/run.db", (2e9, 2e9))
    assert [paths.name for paths in list_runs(tmp_path)] == ["b", "a", "c"]
    assert find_run(tmp_path).name == "c"
    # Without the marker the store's own time has to do.
    (tmp_path / "b/.sshjobs").write_text("nonsense")
    assert find_run(tmp_path).name == "b"


def test_what_is_no_run_is_not_listed(tmp_path: Path) -> None:
    make_run(tmp_path, "mine")
    create_run(tmp_path, name="half")
    (tmp_path / "notes").mkdir()
    (tmp_path / "file").touch()
    assert [paths.name for paths in list_runs(tmp_path)] == ["mine"]
    assert list_runs(tmp_path / "missing") == []


def test_a_run_is_found_by_name_and_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = make_run(tmp_path / "results", "mine")
    monkeypatch.chdir(tmp_path)
    assert find_run(Path("results"), "mine").store.exists()
    for path in (str(mine.root), f"{mine.root}/", "results/mine", "./results/../results/mine/."):
        found = find_run(Path("elsewhere"), path)
        assert (found.root, found.name) == (mine.root, "mine")


def test_a_run_that_is_not_there_is_named_with_those_that_are_near(tmp_path: Path) -> None:
    with pytest.raises(RunNotFoundError, match="no run yet"):
        find_run(tmp_path)
    make_run(tmp_path, "sweep-1")
    with pytest.raises(RunNotFoundError, match="did you mean sweep-1"):
        find_run(tmp_path, "sweep1")
    with pytest.raises(RunNotFoundError, match="the newest are sweep-1"):
        find_run(tmp_path, "zzz")
    with pytest.raises(RunNotFoundError, match="run directory"):
        find_run(tmp_path, "./zzz")
    create_run(tmp_path, name="half")
    with pytest.raises(RunNotFoundError, match="cut short"):
        find_run(tmp_path, "half")
    for name in ("..", ".", ""):
        with pytest.raises(RunNotFoundError):
            find_run(tmp_path / "sweep-1", name)


def test_a_word_that_means_a_run_is_told_from_one_that_does_not(tmp_path: Path) -> None:
    make_run(tmp_path, "mine")
    assert names_run(tmp_path, "mine")
    assert names_run(tmp_path, "any/thing")
    assert not names_run(tmp_path, "yours")
    assert not names_run(tmp_path, "..")


def test_a_number_that_somebody_else_takes_meanwhile_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As if each came after the look.
    monkeypatch.setattr(os, "scandir", lambda path: iter(()))
    assert [choose_name(tmp_path, "x") for _ in range(4)] == ["x-1", "x-2", "x-3", "x-4"]


@pytest.mark.parametrize(("taken", "name"), [("x-999999998", "x-999999999"), ("x-999999999", "x-1000000000"), ("x-1000000000", "x-1"), ("x-", "x-1"), ("y-7", "x-1")])
def test_numbers_of_runs_have_at_most_nine_digits(tmp_path: Path, taken: str, name: str) -> None:
    (tmp_path / taken).mkdir()
    assert choose_name(tmp_path, "x") == name
