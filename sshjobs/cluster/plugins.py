"""Types of engine clusters are entry points, so that other packages can bring their own.

An entry point of the group ``sshjobs.cluster`` has the name of the type and leads to a module (or anything else) with
glimpse-cluster's two functions: ``MakePool(config_file=None, chunksize=None)`` returns a pool, and ``RunMain(words)``
carries out the command line after the type and returns the exit code.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Any, Protocol, cast

from sshjobs.errors import SshjobsError, UsageError
from sshjobs.model.similar import similar

GROUP = "sshjobs.cluster"
#: Environment variables that name the type where ``-t`` does not; the first that is set counts.
KIND_FROM = ("SSHJOBS_CLUSTER_TYPE", "GLIMPSE_CLUSTER_TYPE")


class Plugin(Protocol):
    """What the entry point of a type refers to."""

    def MakePool(self, config_file: str | None = None, chunksize: int | None = None) -> Any:
        """Return a pool that maps functions over the workers."""

    def RunMain(self, words: Sequence[str] | None = None) -> int:
        """Carry out a command line and return the exit code."""


def kinds() -> list[str]:
    """Return the names of all types that are installed."""
    return sorted({point.name for point in entry_points(group=GROUP)})


def kind_from_environment() -> str | None:
    """Return the type that the environment names, ``None`` where it names none."""
    return next((value for name in KIND_FROM if (value := os.environ.get(name))), None)


def plugin_of(kind: str) -> Plugin:
    """Return the plugin of a type.

    :raises UsageError: there is no such type
    :raises SshjobsError: a library that it needs is not installed, or it cannot be loaded
    """
    for point in entry_points(group=GROUP):
        if point.name == kind:
            try:
                found = point.load()
            except ImportError as error:
                raise SshjobsError(f"the type {kind} cannot be loaded", why=str(error),
                                   hint=f"pip install 'sshjobs[{kind}]'") from None
            if not callable(getattr(found, "MakePool", None)) or not callable(getattr(found, "RunMain", None)):
                raise SshjobsError(f"the type {kind} has no MakePool and RunMain", where=point.value)
            return cast(Plugin, found)
    near = similar(kind, kinds(), 1, 0.5)
    raise UsageError(f"no type of engine cluster is called '{kind:.60}'",
                     hint=f"did you mean {near[0]}?" if near else f"the types are {', '.join(kinds())}")
