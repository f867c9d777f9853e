"""A disk of its own for a benchmark: a new and empty ext4 with a journal, as machines have it.

What ran before leaves its mark on a file system. On an ext4 without a journal, making a file costs many times as much
for minutes after others were deleted there, so that whoever is measured later looks slow.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.registry import registry

#: Holds 256 MiB for 9 hosts a few times over. The image is sparse: what is not written takes no room.
SIZE = 24 << 30
_MARK = "SSHJOBS_BENCH_DISK"


def in_a_mount_namespace() -> None:
    """Begin this process again where what it mounts is seen by nobody else, and is gone with it. Needs root; for
    others there is no disk of their own."""
    if os.geteuid() == 0 and _MARK not in os.environ:
        os.environ[_MARK] = "yes"
        os.execvp("unshare", ["unshare", "--mount", *sys.orig_argv])


@contextmanager
def mounted() -> Iterator[Path]:
    """Return a directory for all files of a benchmark. Where that is possible, it is on a new disk, and labs are too."""
    directory = Path(tempfile.mkdtemp(prefix="sshjobs-bench-"))
    try:
        if _MARK not in os.environ:
            yield directory
            return
        image = Path(f"{directory}.ext4")
        with image.open("wb") as file:
            file.truncate(SIZE)
        try:
            _do("mkfs.ext4", "-q", "-F", image)
            # Directly: else all would be in memory twice, and written twice.
            device = _do("losetup", "--find", "--show", "--direct-io=on", image)
            _do("mount", device, directory)
            _do("losetup", "--detach", device)  # as soon as it is not mounted any more
        finally:
            image.unlink()  # it lives as long as it is mounted
        labs = directory / "labs"
        labs.mkdir(mode=0o700)
        _do("mount", "--bind", labs, registry())
        yield directory
        # Lazily: something that is about to end may still have a file there, and then it goes with that.
        _do("umount", "--lazy", registry())
        _do("umount", "--lazy", directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def settle() -> None:
    """Have all that was written on the disk, so that nobody waits for what others have written."""
    os.sync()


def _do(*argv: str | Path) -> str:
    return subprocess.run(argv, check=True, timeout=60, stdout=subprocess.PIPE, text=True).stdout.strip()
