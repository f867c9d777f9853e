"""What we advise: every ``hint`` of an error, and every command of ours that a message names. Read off the source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache

from tests.house.source import ROOT

PACKAGE = ROOT / "sshjobs"
#: A command of ours within a text: its name and what follows on the same line.
COMMAND = re.compile(r"sshjobs ([a-z][a-z-]*)((?: [^\s;,:)`]+)*)")


def _texts(node: ast.expr, constants: dict[str, str]) -> Iterator[str]:
    """Yield what an expression may be as text, ``{}`` for what is put in; nothing where only a run knows."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=values):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in values)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            yield from (one + other for one in _texts(left, constants) or "{}" for other in
                        (list(_texts(right, constants)) or ["{}"]))
        case ast.IfExp(body=body, orelse=orelse):
            yield from _texts(body, constants)
            yield from _texts(orelse, constants)
        case ast.Name(id=name) if name in constants:
            yield constants[name]


@cache
def hints() -> dict[str, str]:
    """Return every hint that stands in the source, with the places where it does."""
    found: dict[str, str] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text())
        constants = {target.id: node.value.value for node in tree.body if isinstance(node, ast.Assign)
                     for target in node.targets if isinstance(target, ast.Name)
                     if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)}
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg == "hint":
                for text in _texts(node.value, constants):
                    found[text] = f"{path.relative_to(PACKAGE)}:{node.value.lineno}"
    return found


@cache
def commands() -> dict[tuple[str, str], str]:
    """Return every command of ours that a text of the source names (its name, the words behind), with its place."""
    found: dict[tuple[str, str], str] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant | ast.JoinedStr):
                for text in _texts(node, {}):
                    for match in COMMAND.finditer(text):
                        found[match[1], match[2].strip()] = f"{path.relative_to(PACKAGE)}:{node.lineno}"
    return found


@cache
def tried() -> dict[str, str]:
    """Return every hint that a test tries (``@tries("…")``, ``Row("…", …)``), with the file of the test."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("tries", "Row"):
                arguments = node.args if node.func.id == "tries" else node.args[:1]
                for argument in arguments:
                    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                        found[argument.value] = str(path.relative_to(ROOT))
    return found
