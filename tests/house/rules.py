"""The rules of the house. Each takes a parsed package and returns what breaks it, one sentence each."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

from tests.house.source import Module, functions, imports, internal_imports

MAX_MODULE_LINES = 460
MAX_FUNCTION_LINES = 60

# One outside thing per door: only these modules, and what lies below them, may import it.
DOORS: Mapping[str, tuple[str, ...]] = {
    "yaml": ("sshjobs.inputs",),
    "sqlite3": ("sshjobs.store",),
    "pydantic": ("sshjobs.inputs", "sshjobs.web"),
    "starlette": ("sshjobs.web",),
    "uvicorn": ("sshjobs.web",),
    "pydantic_core": ("sshjobs.inputs",),
    "ClusterShell": ("sshjobs.inputs",),
    "joblib": ("sshjobs.pools.joblib",),
    "fabric": ("sshjobs.network.transport",),
    "paramiko": ("sshjobs.network.transport",),
    "zmq": ("sshjobs.pools", "sshjobs.cluster"),
    "gear": ("sshjobs.pools", "sshjobs.cluster"),
    "ipyparallel": ("sshjobs.pools", "sshjobs.cluster"),
    "distributed": ("sshjobs.pools", "sshjobs.cluster"),
    "dask": ("sshjobs.cluster",),
    "cloudpickle": ("sshjobs.pools", "sshjobs.cluster"),
    "click": ("sshjobs.cli",),
    "rich": ("sshjobs.cli", "sshjobs.views", "sshjobs.tui"),
    "textual": ("sshjobs.tui",),
}


def cycles(found: dict[str, Module]) -> list[str]:
    """A cycle of imports, if there is one.

    Imports inside functions count, as they only hide it; those for types do not, as they are never carried out.
    """
    try:
        TopologicalSorter(internal_imports(found)).prepare()
    except CycleError as error:
        return ["imports in a circle: " + " -> ".join(reversed(error.args[1]))]
    return []


def broken_doors(found: dict[str, Module], doors: Mapping[str, tuple[str, ...]] = DOORS) -> list[str]:
    """Imports of an outside library elsewhere than behind its door."""
    return [
        f"{name}:{item.line} imports {item.target}; only {', '.join(doors[top])} may"
        for name, module in found.items()
        for item in imports(module)
        if (top := item.target.partition(".")[0]) in doors and not _within(name, doors[top])
    ]


def not_stdlib(found: dict[str, Module], package: str) -> list[str]:
    """Imports in a package that are neither its own modules nor the standard library's."""
    return [
        f"{name}:{item.line} imports {item.target}, neither its own nor the standard library's"
        for name, module in found.items()
        if _within(name, (package,))
        for item in imports(module)
        if not _within(item.target, (package,))
        and item.target.partition(".")[0] not in sys.stdlib_module_names
    ]


def too_long(found: Iterable[Module]) -> list[str]:
    """Modules and functions over their limits; a function is counted from ``def`` to its last line."""
    complaints = []
    for module in found:
        if module.lines > MAX_MODULE_LINES:
            complaints.append(f"{module.name} has {module.lines} lines; at most {MAX_MODULE_LINES}")
        for name, node in functions(module):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > MAX_FUNCTION_LINES:
                complaints.append(f"{name} has {lines} lines; at most {MAX_FUNCTION_LINES}")
    return complaints


def _within(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)
