"""How processes of an engine cluster are started: here, and on hosts, where sshjobs is a zip file beside the job."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import sshjobs

_CODE = "import sys; sys.path[:] = {path!r}; from sshjobs.cluster.onhost import main; sys.exit(main())"


def own_argv(kind: str, words: Sequence[str]) -> list[str]:
    """Return the argv that runs a command of an engine in a process of its own, with this process's modules."""
    path = [os.path.abspath(place) for place in sys.path if place]
    return [sys.executable, "-c", _CODE.format(path=path), kind, *words]


def engine_env() -> dict[str, str]:
    """Return the environment of an engine's processes. Where sshjobs runs from a zip file, they find it there."""
    place = Path(sshjobs.__file__).parents[1]
    env = dict(os.environ)
    if place.is_file():
        env["PYTHONPATH"] = os.pathsep.join(filter(None, (str(place.absolute()), env.get("PYTHONPATH"))))
    return env
