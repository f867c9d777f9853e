"""Finds the program of this host that lists its GPUs."""

import os

from . import system

#: The best first.
TOOLS = ("nvidia-smi", "amd-smi", "rocm-smi")


def nvidia_smi() -> "str | None":
    """Return the path of nvidia-smi, None where there is none."""
    return _found("nvidia-smi")


def gpu_tool() -> "str | None":
    """Return the path of the best tool that is installed, None where there is none."""
    return next(filter(None, map(_found, TOOLS)), None)


def _found(name: str) -> "str | None":
    path = os.fsdecode(system.environ().get(b"PATH", os.fsencode(os.defpath)))
    for directory in path.split(":"):
        program = os.path.join(directory, name)
        if system.access(program, os.X_OK):
            return program
    return None
