"""What we advise: every ``hint`` of an error, and every command of ours that a message names. Read off the source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache

from sshjobs.cli.app import COMMANDS
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
        case ast.BinOp(left=left, op=ast.Mod()):
            yield from _texts(left, constants)
        case ast.IfExp(body=body, orelse=orelse):
            yield from _texts(body, constants)
            yield from _texts(orelse, constants)
        case ast.Name(id=name) if name in constants:
            yield constants[name]


#: What is called with a hint as an argument without a name: the class, and the argument.
POSITIONAL = {"Cause": 2, "Disagreement": 3, "Trouble": 2, "Unusable": 2}
#: Where texts are advice from their first semicolon on, because they are made where no error is raised yet.
ADVISING = ("gjob/unstartable.py", "inputs/")
#: Tables of advice of which a test follows each line, with that test; and what passes hints on.
LEFT_OUT = {"cli/foreign_options.py": "cli/test_exec_habits.py", "inputs/foreign.py": "cli/test_exec_habits.py", "errors.py": None,
            **dict.fromkeys(("cli/examples.py", "cli/skill.py", "cli/topics.py"), "cli/test_help.py"), "cli/demo.py": "cli/test_demo.py"}


def _constants(tree: ast.Module) -> dict[str, str]:
    """Return the texts that have a name in a module."""
    return {target.id: node.value.value for node in tree.body if isinstance(node, ast.Assign)
            for target in node.targets if isinstance(target, ast.Name)
            if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)}


def _advice(node: ast.AST) -> Iterator[ast.expr]:
    """Yield what a node of the source advises."""
    match node:
        case ast.keyword(arg="hint", value=value) | ast.Assign(targets=[ast.Name(id="hint") | ast.Attribute(attr="hint")],
                                                                value=value):
            yield value
        case ast.Assign(targets=[ast.Name(id="_HINTS")], value=ast.Dict(values=values)):
            yield from values
        case ast.Call(func=ast.Name(id=name), args=arguments) if len(arguments) > POSITIONAL.get(name, 99):
            yield arguments[POSITIONAL[name]]
        case ast.Dict(keys=keys, values=values):
            yield from (value for key, value in zip(keys, values, strict=True)
                        if isinstance(key, ast.Constant) and key.value == "hint")
        case ast.FunctionDef(name="_hint"):
            yield from (inner.value for inner in ast.walk(node) if isinstance(inner, ast.Return) and inner.value)


def _said(tree: ast.Module) -> Iterator[ast.expr]:
    """Yield the texts of a module that are neither docstrings, nor help, nor part of another."""
    left_out = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            left_out.update(id(inner) for value in node.values for inner in ast.walk(value))
        elif isinstance(node, ast.keyword) and node.arg in ("help", "short_help", "description", "title"):
            left_out.update(map(id, ast.walk(node.value)))
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in left_out)


def _filled(text: str) -> str:
    """Return a text with ``{}`` where something is put in, however that is written."""
    return re.sub(r"%[sd]", "{}", text)


def _names_command(text: str) -> bool:
    """Tell whether a text tells to type a command of ours."""
    return any(match[1] in COMMANDS and not text[:match.start()].endswith("none of ") for match in COMMAND.finditer(text))


@cache
def hints() -> dict[str, str]:
    """Return every hint that stands in the source, with the place: what errors advise, and texts that name a command."""
    found: dict[str, str] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        tree, name = ast.parse(path.read_text()), str(path.relative_to(PACKAGE))
        if name in LEFT_OUT:
            continue
        constants, own = _constants(tree), dict[str, str]()
        for node in ast.walk(tree):
            for value in _advice(node):
                own.update((_filled(text), f"{name}:{value.lineno}") for text in _texts(value, constants))
        for node in _said(tree):
            for text in _texts(node, {}):
                if text in own:
                    continue
                advice = text.partition("; ")[2] if name.startswith(ADVISING) else ""
                if not advice and _names_command(text) and not any(text in hint for hint in own):
                    advice = text
                own[_filled(advice)] = f"{name}:{node.lineno}"
        found.update((text, place) for text, place in own.items() if text.strip("{}"))
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
