"""An interpreter with the engines for the hosts of the lab, which see neither this checkout nor the user's home."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

ENGINES = ("distributed", "psutil", "ipyparallel", "pyzmq", "gear", "cloudpickle")
_VERSION = "{}.{}".format(*sys.version_info[:2])


@contextmanager
def host_python() -> Iterator[str]:
    """Yield the path of an interpreter that every user of every host can run, with the engines of this one."""
    if os.geteuid():
        # Hosts are this machine then, and their user is this one.
        yield sys.executable
        return
    # The hosts have directories of their own for temporary files and homes.
    place = Path(tempfile.mkdtemp(prefix="sshjobs-engines-", dir="/var/lib"))
    try:
        place.chmod(0o755)
        for name in _closure(ENGINES):
            _copy(name, place / "lib")
        script = place / "python3"
        script.write_text(f"#!/bin/sh\nPYTHONPATH={place}/lib${{PYTHONPATH:+:$PYTHONPATH}}\nexport PYTHONPATH\n"
                          f"exec {_system_python()} \"$@\"\n")
        script.chmod(0o755)
        yield str(script)
    finally:
        shutil.rmtree(place)


def _closure(names: tuple[str, ...]) -> list[str]:
    """The distributions and all that they need."""
    found, todo = dict[str, None](), list(names)
    while todo:
        name = todo.pop().lower().replace("_", "-")
        if name in found:
            continue
        try:
            needs = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        found[name] = None
        wanted = map(Requirement, needs)
        todo += [one.name for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
    return list(found)


def _copy(name: str, target: Path) -> None:
    one = distribution(name)
    for file in one.files or []:
        if file.parts[0] != ".." and "tests" not in file.parts:
            place = target / file
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(str(file.locate()), place)
            except FileExistsError:
                continue
            except OSError:
                shutil.copy(str(file.locate()), place)


def _system_python() -> str:
    for name in (f"/usr/bin/python{_VERSION}", "/usr/bin/python3", f"/usr/local/bin/python{_VERSION}"):
        if os.access(name, os.X_OK) and subprocess.run(
                [name, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
                capture_output=True, text=True).stdout.strip() == _VERSION:
            return name
    raise AssertionError(f"the hosts of the lab need a Python {_VERSION} that every user can run, as /usr/bin/python{_VERSION}")
