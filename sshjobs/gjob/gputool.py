"""Which tool of this host tells of its GPUs."""

import os

from . import system

#: The best first.
TOOLS = ("nvidia-smi", "amd-smi", "rocm-smi")


def nvidia_smi() -> "str | None":
    """Return where nvidia-smi is; None where it is not."""
    return _found("nvidia-smi")


def gpu_tool() -> "str | None":
    """Return where the first tool is that tells of GPUs; None where there is none."""
    return next(filter(None, map(_found, TOOLS)), None)


def _found(name: str) -> "str | None":
    path = os.fsdecode(system.environ().get(b"PATH", os.fsencode(os.defpath)))
    for directory in path.split(":"):
        program = os.path.join(directory, name)
        if system.access(program, os.X_OK):
            return program
    return None
