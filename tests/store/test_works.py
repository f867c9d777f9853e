"""What a comparison with an earlier run reads of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sshjobs.model.attempt import Inputs
from sshjobs.store.works import WorkReader
from tests.store.helpers import finish, launch, make_jobs, make_store


def test_works_are_read_by_their_numbers_and_inputs_by_their_digests(tmp_path: Path) -> None:
    jobs = make_jobs(3)
    store = make_store(tmp_path, jobs)
    launch(store, jobs[1])
    jobs[1].attempts[0].inputs = Inputs("d" * 64, (("file", "a", "x"), ("file", "b", "y")))
    finish(store, jobs[1])
    store.commit()
    with WorkReader.open(store.paths) as reader:
        assert [reader.work(number).name for number in (1, 2, 3)] == ["sim-1", "sim-2", "sim-3"]
        for number in (0, 4):
            with pytest.raises(KeyError):
                reader.work(number)
        assert reader.inputs(reader.work(2).inputs or "") == [("file", "a", "x"), ("file", "b", "y")]
        assert reader.inputs("e" * 64) is None
    store.close()
