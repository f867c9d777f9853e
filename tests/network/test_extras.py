"""What an attempt finds that an earlier one has left: of the newest of which anything came, below where the job runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from sshjobs.model.spec import JobSpec
from sshjobs.network.staging.digests import Digests
from sshjobs.network.staging.extras import carried, is_carrying
from sshjobs.network.staging.inputs import Staging

CARRY = {"ckpt/": {"carry": True}, "log": None}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for n in (1, 2):
        for path in ("ckpt/a", "ckpt/d/b", "log"):
            file = tmp_path / f"attempt-{n}/files/{path}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{path} of {n}")
        (tmp_path / f"attempt-{n}/files/ckpt/link").symlink_to("/etc/passwd")
    (tmp_path / "attempt-3").mkdir()
    return tmp_path


@pytest.mark.parametrize(("uid", "cwd", "expected"), [
    ("7.1", None, {}),
    ("7.2", None, {"ckpt/a": "ckpt/a of 1", "ckpt/d/b": "ckpt/d/b of 1"}),
    ("7.3", None, {"ckpt/a": "ckpt/a of 2", "ckpt/d/b": "ckpt/d/b of 2"}),
    ("7.4", "./sub/deep", {"sub/deep/ckpt/a": "ckpt/a of 2", "sub/deep/ckpt/d/b": "ckpt/d/b of 2"}),
])
def test_the_newest_of_which_anything_came_is_found(place: Path, uid: str, cwd: str | None, expected: dict[str, str]) -> None:
    spec = JobSpec(["true"], outputs=CARRY, cwd=cwd)
    found = {target: source.read_text() for extra in carried(uid, spec, place) for source, target in extra.files()}
    assert found == expected and is_carrying(uid, spec) is (uid != "7.1")


def test_what_is_not_to_be_carried_is_not(place: Path) -> None:
    for spec in (JobSpec(["true"], outputs=["ckpt/"]), JobSpec(["true"])):
        assert carried("7.3", spec, place) == [] and not is_carrying("7.3", spec)


def test_what_an_earlier_attempt_left_goes_before_what_is_sent_and_counts_as_no_input(place: Path, tmp_path: Path) -> None:
    (tmp_path / "ckpt").mkdir()
    (tmp_path / "ckpt/a").write_text("as sent")
    (tmp_path / "ckpt/z").write_text("as sent")
    spec = JobSpec(["true"], files=["ckpt"], base_dir=tmp_path, outputs=CARRY)
    staging = Staging(Digests())
    plain = staging.manifest(spec)
    more = staging.with_extras(plain, carried("7.2", spec, place))
    sha = {one.path: one.sha for one in more.placed}
    assert {blob.sha: Path(blob.path).read_text() for blob in more.blobs.values()}[str(sha["ckpt/a"])] == "ckpt/a of 1"
    assert sha.keys() == {"ckpt", "ckpt/a", "ckpt/z", "ckpt/d/b"} and more.inputs == plain.inputs
    # What all jobs of an entry share is as it was.
    assert len(plain.placed) == 3
