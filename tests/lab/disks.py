"""Directories on small disks of their own, and disks on which there is no room for a while."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path


@contextmanager
def mounted(directory: Path, *words: str) -> Iterator[None]:
    """Mount something over a directory (needs root).

    :raises subprocess.CalledProcessError: when it cannot be mounted.
    """
    subprocess.run(["mount", *words, str(directory)], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


@contextmanager
def small_disk(directory: Path, size: str) -> Iterator[None]:
    """Let a directory be a file system of its own with little room (needs root).

    :param size: how large, as in ``4m`` or ``4m,nr_inodes=200``.
    """
    with mounted(directory, "-t", "tmpfs", "-o", f"size={size}", "sshjobs-test"):
        yield


@contextmanager
def freezable(directory: Path, image: Path) -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """Let a directory be a file system of its own, kept in a file, that can be frozen for the time of a block: whoever
    writes to it then does not come back from the kernel, and takes no signal (needs root).
    """
    with open(image, "wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True, capture_output=True)

    @contextmanager
    def frozen() -> Iterator[None]:
        subprocess.run(["fsfreeze", "--freeze", str(directory)], check=True, capture_output=True)
        try:
            yield
        finally:
            subprocess.run(["fsfreeze", "--unfreeze", str(directory)], check=True, capture_output=True)

    with mounted(directory, "-o", "loop", str(image)):
        yield frozen


def fill(path: Path) -> None:
    """Make a file that leaves no free byte on its disk, or let it grow until there is none."""
    with open(path, "ab", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            with suppress(OSError):  # Full for pieces of this size.
                while True:
                    file.write(bytes(size))
        os.fsync(file.fileno())


def take_inodes(filler: Path) -> None:
    """Make empty files in a directory until its disk, which has few inodes, has none for a further one."""
    filler.mkdir(exist_ok=True)
    with suppress(OSError):
        for number in range(len(os.listdir(filler)), 10_000):
            (filler / str(number)).touch()


@contextmanager
def without_bytes(directory: Path) -> Iterator[None]:
    """Take every byte of the small disk that a directory is on."""
    filler = directory / "filler"
    fill(filler)
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def without_inodes(directory: Path) -> Iterator[None]:
    """Take every inode of the small disk that a directory is on."""
    filler = directory / "filler"
    take_inodes(filler)
    try:
        yield
    finally:
        shutil.rmtree(filler)


@contextmanager
def read_only(directory: Path, side: Path) -> Iterator[None]:
    """Let nothing new be written in a directory (needs root).

    What is open for writing keeps a mount writable: another one over it, read-only before anybody can see it.

    :param side: where that is made; may not exist, and stays, empty.
    """
    side.mkdir()
    with mounted(side, "--bind", str(directory)):
        subprocess.run(["mount", "-o", "remount,ro,bind", str(side)], check=True)
        with mounted(directory, "--bind", str(side)):
            yield
