"""What the agent puts where the elements of job arrays find it: our code, the jobs of a batch, and the batch script."""

import os

from .. import files, system
from ..light import dumps
from . import element

MYPY = False
if MYPY:
    from typing import Any


def put_code(directory: str) -> None:
    """Write our code as one file that Python runs, unless it is there.

    :raises OSError: it cannot be written
    """
    path = directory + "/element.zip"
    if files.exists(path):
        return
    import io
    import zipfile

    loader: "Any" = __spec__.loader
    sources = loader.get_sources()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "__main__.py", "import sys\nfrom sshjobs.gjob.agent import element\nsys.exit(element.main(*sys.argv[1:]))\n"
        )
        for name in sources:
            package = any(other.startswith(name + ".") for other in sources)
            archive.writestr(name.replace(".", "/") + ("/__init__.py" if package else ".py"), sources[name])
    _place(path, buffer.getvalue())


def put_batch(base: str, tag: int, names: "tuple[str, str]", lines: "list[bytes]") -> None:
    """Write which jobs are in a batch.

    :param names: of run and host
    :param lines: the launches
    :raises OSError: it cannot be written
    """
    head = dumps({"run": names[0], "host": names[1]}).encode("ascii") + b"\n"
    _place(element.batch_file(base, tag), head + b"".join(lines))


def put_script(base: str, tag: int, serial: int, python: str, index: str) -> str:
    """Write the batch script of a submission and return its path.

    :param index: what becomes the element's number in a shell
    :raises OSError: it cannot be written
    """
    path = _script(base, tag, serial)
    text = "#!/bin/sh\nexec %s -IS %s %s %d %d %s\n" % (
        _quoted(_in_home(python)),
        _quoted(base + "/a/element.zip"),
        _quoted(base),
        tag,
        serial,
        index,
    )
    _place(path, os.fsencode(text), 0o700)
    return path


def seen(base: str) -> str:
    """Return the file that a node makes which sees the directory."""
    return base + "/a/seen"


def remove(base: str, tag: int, serial: int) -> None:
    """Remove what was written for a batch.

    :param serial: of the last submission
    """
    files.unlink_quietly(element.batch_file(base, tag))
    for number in range(1, serial + 1):
        files.unlink_quietly(_script(base, tag, number))


def _script(base: str, tag: int, serial: int) -> str:
    return "%s/a/%d-%d.sh" % (base, tag, serial)


def _in_home(program: str) -> str:
    home = os.fsdecode(system.environ().get(b"HOME", b""))
    return home + program[1:] if program.startswith("~/") else program


def _quoted(text: str) -> str:
    return "'%s'" % text.replace("'", "'\\''")


def _place(path: str, data: bytes, mode: int = 0o600) -> None:
    """Have a file there, complete or not at all.

    :raises OSError: it cannot be
    """
    fd = system.open(path + "~", os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_WRONLY, mode)
    try:
        files.write_all(fd, data)
    finally:
        system.close(fd)
    system.rename(path + "~", path)
