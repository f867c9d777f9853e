"""The public API as text: every name of ``sshjobs.__all__``, its signatures, attributes and values.

``make api`` writes it to ``public_api.txt``; a test compares. A difference is a change that users see:
it belongs in ``docs/changelog.md``, and the new text into the same commit.

The keys of jobs are left out, as parameters and as attributes: the table of docs/jobfile.md is their record, which a
test holds against the code (``tests/core/test_keys.py``).
"""

from __future__ import annotations

import enum
import inspect
import re
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from sshjobs.model.keys import KEYS, KeysGiven, KeysHeld

FROZEN = Path(__file__).with_suffix(".txt")

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


#: Modules with names that are promised beside those of the package: glimpse's pool, and what a type of engine cluster
#: has.
FURTHER = {"sshjobs.pools.gearman": None, "sshjobs.cluster.gearman": ("MakePool", "RunMain")}


def describe_all() -> list[str]:
    """All that is promised: the package, then the modules of :data:`FURTHER`."""
    lines = describe(import_module("sshjobs"))
    for name, names in FURTHER.items():
        lines += ["", f"{name}:", *describe(import_module(name), names)]
    return lines


def describe(package: ModuleType, names: Iterable[str] | None = None) -> list[str]:
    """The public API of a package, one line a name, sorted by exported name.

    :param names: only these; ``None`` for all that the package exports
    """
    exported = {name: getattr(package, name) for name in sorted(set(names or package.__all__))}
    lines: list[str] = []
    for name, thing in exported.items():
        if inspect.isclass(thing):
            lines += _class(name, thing, package.__name__.partition(".")[0], list(exported.values()))
        elif inspect.isroutine(thing):
            lines.append(f"{name}{_signature(thing)}")
        elif name == "__version__":
            lines.append(f"{name}: {type(thing).__name__}")
        else:
            lines.append(f"{name} = {_value(thing)}")
    return lines


def _class(name: str, cls: type, package: str, exported: list[Any]) -> Iterator[str]:
    bases = ", ".join(base.__name__ for base in cls.__bases__ if base is not object)
    yield f"class {name}({bases})" if bases else f"class {name}"
    if issubclass(cls, enum.Enum):
        yield from (f"{name}.{member.name} = {_value(member.value)}" for member in cls)
    else:
        yield f"{name}.__init__{_signature(cls)}"
    for attribute, thing in sorted(_members(cls, package, exported).items()):
        yield _member(f"{name}.{attribute}", thing)


def _members(cls: type, package: str, exported: list[Any]) -> dict[str, Any]:
    """Public members that a class brings itself or has from bases of ours that are not exported."""
    members: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        ours = base.__module__.partition(".")[0] == package
        if base is cls or (ours and base not in exported and base is not KeysHeld):
            members |= dict.fromkeys(base.__dict__.get("__annotations__", {}), None)
            members |= vars(base)
    hidden = {member.name for member in cls} if issubclass(cls, enum.Enum) else set()
    return {name: thing for name, thing in members.items() if not name.startswith("_") and name not in hidden}


def _member(name: str, thing: Any) -> str:
    kind = ""
    if isinstance(thing, classmethod | staticmethod):
        kind, thing = f"{type(thing).__name__} ", thing.__func__
    if inspect.isfunction(thing):
        awaited = "async " if inspect.iscoroutinefunction(thing) else ""
        return f"{kind}{awaited}{name}{_signature(thing)}"
    if isinstance(thing, property):
        return f"{name}: property{'' if thing.fset is None else ', may be set'}"
    return f"{name}: attribute"


def _signature(thing: Any) -> str:
    """A signature that reads the same under every supported Python."""
    try:
        signature = inspect.signature(thing)
    except (TypeError, ValueError):  # a class in C, an exception say, that tells nobody
        return "(...)"
    parts: list[str] = []
    kinds = inspect.Parameter
    star_seen = slash_due = False
    keys = KEYS if KeysGiven.__annotations__.keys() <= signature.parameters.keys() else {}
    for parameter in signature.parameters.values():
        if parameter.kind is kinds.KEYWORD_ONLY and parameter.name in keys:
            continue
        if slash_due and parameter.kind is not kinds.POSITIONAL_ONLY:
            parts.append("/")
        slash_due = parameter.kind is kinds.POSITIONAL_ONLY
        if parameter.kind is kinds.KEYWORD_ONLY and not star_seen:
            parts.append("*")
        star_seen = star_seen or parameter.kind in (kinds.KEYWORD_ONLY, kinds.VAR_POSITIONAL)
        parts.append(_parameter(parameter))
    if slash_due:
        parts.append("/")
    parts += ["**keys"] if keys else []
    returns = _annotation(signature.return_annotation, inspect.Signature.empty)
    return f"({', '.join(parts)})" + (f" -> {returns}" if returns else "")


def _parameter(parameter: inspect.Parameter) -> str:
    text = parameter.name
    if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
        text = "*" + text
    elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
        text = "**" + text
    annotation = _annotation(parameter.annotation, inspect.Parameter.empty)
    if annotation:
        text += f": {annotation}"
    if parameter.default is not inspect.Parameter.empty:
        text += f"{' = ' if annotation else '='}{_value(parameter.default)}"
    return text


def _annotation(annotation: Any, empty: Any) -> str:
    if annotation is empty:
        return ""
    if isinstance(annotation, str):
        return annotation
    return inspect.formatannotation(annotation)


def _value(thing: Any) -> str:
    if isinstance(thing, enum.Enum):
        return f"{type(thing).__name__}.{thing.name}"
    if isinstance(thing, set | frozenset):
        return f"{type(thing).__name__}({sorted(thing)!r})"
    if inspect.isfunction(thing) or inspect.isclass(thing):
        return thing.__qualname__
    return _ADDRESS.sub("", repr(thing))


if __name__ == "__main__":
    print("\n".join(describe_all()))
