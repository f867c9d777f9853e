"""Calls about files, carried out on the disk of the process that runs."""

from __future__ import annotations

import errno
import os
from typing import Any, NamedTuple

from tests.sim.host.disk import Directory, File, Info, Node, Socket, error
from tests.sim.host.machine import USER, Machine
from tests.sim.host.process import Process, now
from tests.sim.host.streams import Null, OpenFile


class Room(NamedTuple):
    """What ``statvfs`` tells."""

    f_bavail: int
    f_blocks: int
    f_frsize: int = 4096
    f_files: int = 1000
    f_favail: int = 500


def _text(path: Any) -> str:
    return os.fsdecode(path)


def _at(process: Process, dir_fd: int | None) -> Directory:
    if dir_fd is None:
        return process.cwd
    file = process.file(dir_fd)
    if not isinstance(file, OpenFile) or not isinstance(file.node, Directory):
        raise error(errno.ENOTDIR)
    return file.node


def node_of(process: Process, path: Any, dir_fd: int | None = None) -> Node:
    """Return what a path or a descriptor leads to."""
    if isinstance(path, int):
        file = process.file(path)
        return file.node if isinstance(file, OpenFile) else Node(0, 0o600, USER, 0.0)
    return process.machine.disk.find(_text(path), _at(process, dir_fd))


def open_(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
    process, text = now(), _text(path)
    machine, at = process.machine, _at(process, dir_fd)
    if text == "/dev/null":
        return process.add(Null())
    try:
        node = machine.disk.find(text, at)
    except FileNotFoundError:
        if not flags & os.O_CREAT:
            raise
        node = machine.disk.add(text, at, lambda parent, ino, when: File(ino, mode, USER, when))
    else:
        if flags & os.O_CREAT and flags & os.O_EXCL:
            raise error(errno.EEXIST, text)
    if flags & os.O_DIRECTORY and not isinstance(node, Directory):
        raise error(errno.ENOTDIR, text)
    writes = flags & (os.O_WRONLY | os.O_RDWR)
    if isinstance(node, Directory) and writes:
        raise error(errno.EISDIR, text)
    if isinstance(node, Socket):
        raise error(errno.ENXIO, text)
    if flags & os.O_TRUNC and isinstance(node, File):
        del node.data[:]
    return process.add(OpenFile(node, flags, text, lambda file, offset, data: _write_at(machine, file, offset, data)))


def _write_at(machine: Machine, file: OpenFile, offset: int, data: bytes) -> int:
    assert isinstance(file.node, File)
    if offset + len(data) > file.node.size:
        machine.disk.check_room(file.path)
    file.node.write(offset, bytes(data), machine.world.now)
    process = Process.running[0]
    if process is not None and "/j/" in file.path:
        machine.watcher.on_note(machine, process, bytes(data))
    return len(data)


def close(number: int) -> None:
    if not now().close(number):
        raise error(errno.EBADF)


def read(number: int, size: int) -> bytes:
    process = now()
    file = process.file(number)
    found: bytes = process.patiently(file, lambda: file.read(size))
    return found


def pread(number: int, size: int, offset: int) -> bytes:
    file = now().file(number)
    if not isinstance(file, OpenFile):
        raise error(errno.ESPIPE)
    return file.pread(size, offset)


def readv(number: int, buffers: list[Any]) -> int:
    data = read(number, sum(len(buffer) for buffer in buffers))
    at = 0
    for buffer in buffers:
        part = data[at:at + len(buffer)]
        memoryview(buffer)[:len(part)] = part
        at += len(part)
    return len(data)


def write(number: int, data: Any) -> int:
    process = now()
    file = process.file(number)
    count: int = process.patiently(file, lambda: file.write(bytes(data)))
    return count


def writev(number: int, parts: list[Any]) -> int:
    return write(number, b"".join(bytes(part) for part in parts))


def pwrite(number: int, data: bytes, offset: int) -> int:
    file = now().file(number)
    assert isinstance(file, OpenFile)
    return file.pwrite(data, offset)


def seek_end(number: int) -> int:
    file = now().file(number)
    assert isinstance(file, OpenFile)
    file.offset = file.node.size
    return file.offset


def seek_data(number: int, offset: int) -> int:
    now().file(number)
    return offset


def fill(writing: int, reading: int) -> None:
    source = now().file(reading)
    assert isinstance(source, OpenFile)
    while data := source.read(1 << 20):
        write(writing, data)


def stat(path: Any, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> Info:
    return node_of(now(), path, dir_fd).info()


def fstat(number: int) -> Info:
    return node_of(now(), number).info()


def access(path: Any, mode: int) -> bool:
    try:
        node = node_of(now(), path)
    except OSError:
        return False
    return not mode & os.X_OK or bool(node.mode & 0o111)


def listdir(path: Any) -> list[str]:
    process = now()
    if not isinstance(path, int) and _text(path) == "/proc/self/fd":
        return [str(number) for number in sorted(process.files)]
    node = node_of(process, path)
    if not isinstance(node, Directory):
        raise error(errno.ENOTDIR, str(path))
    return list(node.entries)


def statvfs(path: Any) -> Room:
    process = now()
    node_of(process, path)
    return Room(0 if process.machine.disk.trouble else 1 << 28, 1 << 30)


def getxattr(path: Any, name: str) -> bytes:
    now()
    raise error(errno.ENODATA, _text(path))


def mkdir(path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
    process, text = now(), _text(path)
    process.machine.disk.mkdir(text, mode, USER, _at(process, dir_fd))
    above, _, name = text.rpartition("/")
    if above.endswith("/w"):
        if process.kind == "runner":
            process.uid = name
        process.machine.watcher.on_claim(process.machine, process, name)


def rmdir(path: Any, *, dir_fd: int | None = None) -> None:
    process = now()
    process.machine.disk.remove(_text(path), _at(process, dir_fd), directory=True)
    process.machine.watcher.on_removal(process.machine, process, _text(path).rpartition("/")[2])


def unlink(path: Any, *, dir_fd: int | None = None) -> None:
    process = now()
    process.machine.disk.remove(_text(path), _at(process, dir_fd), directory=False)


def rename(source: Any, target: Any) -> None:
    now().machine.disk.rename(_text(source), _text(target))


def link(source: Any, target: Any, *, follow_symlinks: bool = True) -> None:
    process = now()
    process.machine.disk.link(node_of(process, source), _text(target))


def readlink(path: Any) -> bytes:
    node_of(now(), path)
    # There are no links here.
    raise error(errno.EINVAL, _text(path))


def chmod(path: Any, mode: int, *, dir_fd: int | None = None) -> None:
    node_of(now(), path, dir_fd).mode = mode


def fchmod(number: int, mode: int) -> None:
    node_of(now(), number).mode = mode


def utime(path: Any, times: tuple[float, float] | None = None) -> None:
    process = now()
    node_of(process, path).mtime = process.machine.clock() if times is None else times[1]


def chdir(path: Any) -> None:
    process = now()
    node = node_of(process, path)
    if not isinstance(node, Directory):
        raise error(errno.ENOTDIR, _text(path))
    process.cwd = node


def lock(number: int) -> None:
    process = now()
    file = process.file(number)
    assert isinstance(file, OpenFile)
    for other in process.machine.processes.values():
        if any(one is not file and isinstance(one, OpenFile) and one.node is file.node and one.locked
               for one in other.files.values()):
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    file.locked = True


def unlock(number: int) -> None:
    file = now().file(number)
    assert isinstance(file, OpenFile)
    file.locked = False


def entries(path: Any, most: int) -> list[str]:
    return listdir(path)[:most]
