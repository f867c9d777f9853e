"""Outputs on this machine's disk: synced before any host forgets its copy."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sshjobs import JobSpec, Run
from sshjobs.network import engine
from sshjobs.network.session import output_files as outputs
from sshjobs.network.session.output_files import OutputFiles, sync_attempts


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was synced, by its path."""
    found: list[str] = []
    real = os.fsync

    def counted(descriptor: int) -> None:
        found.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)
    monkeypatch.setattr(os, "fsync", counted)
    return found


def an_output(directory: Path) -> Path:
    directory.parent.mkdir(parents=True, exist_ok=True)
    OutputFiles().create(directory)
    return directory


def test_files_are_synced_with_every_directory_that_names_them(tmp_path: Path, synced: list[str]) -> None:
    jobs = [an_output(tmp_path / "run" / "jobs" / name) for name in ("a", "b/attempt-1")]
    sync_attempts(tmp_path / "run", [(job, job / "attempt-1") for job in jobs])
    names = ("", "jobs", "jobs/a", "jobs/a/stdout", "jobs/a/stderr", "jobs/b", "jobs/b/attempt-1",
             "jobs/b/attempt-1/stdout", "jobs/b/attempt-1/stderr")
    assert sorted(synced) == sorted(str(tmp_path / "run" / name) for name in names)


def test_an_output_that_was_put_aside_for_the_next_attempt_is_synced(tmp_path: Path, synced: list[str]) -> None:
    job, aside = an_output(tmp_path / "jobs" / "a"), tmp_path / "jobs" / "a" / "attempt-1"
    files = OutputFiles()
    files.put_aside(job, aside)
    with pytest.raises(FileNotFoundError):
        sync_attempts(tmp_path, [(job, aside)])
    files.create(job)
    sync_attempts(tmp_path, [(job, aside)])
    assert {str(aside), str(aside / "stdout"), str(aside / "stderr")} <= set(synced)


@pytest.mark.parametrize(("size", "how"), [(1, "sync_tree"), (engine.LARGE, "sync_attempts")])
def test_a_large_output_does_not_wait_for_what_others_have_written(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, how: str) -> None:
    ways: list[str] = []
    for name in ("sync_tree", "sync_attempts"):
        def counted(*arguments: object, name: str = name, real: object = getattr(outputs, name)) -> None:
            ways.append(name)
            real(*arguments)  # type: ignore[operator]
        monkeypatch.setattr(outputs, name, counted)
    run = Run.start([JobSpec(f"head -c {size} /dev/zero", name="much")], results=tmp_path / "results")
    assert run.wait(timeout=60) == 0
    assert ways == [how]
    assert (run.paths.root / "jobs" / "much" / "stdout").stat().st_size == size
