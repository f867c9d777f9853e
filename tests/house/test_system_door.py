"""The far side asks the operating system through one door, so that a simulation or a failing call can stand in for it."""

from __future__ import annotations

import ast

import pytest

from sshjobs.gjob import system
from tests.house.source import PACKAGE, Module, modules

GJOB = "sshjobs.gjob"
#: The door itself, what it is made of, and what runs where no simulation goes: the gjob command, elements of job arrays.
INSIDE = (f"{GJOB}.system", f"{GJOB}.light", f"{GJOB}.ship", f"{GJOB}.verbs", f"{GJOB}.agent.element")
ROOMS = ("os", "time", "select", "socket", "signal", "fcntl", "subprocess", "ctypes", "resource", "shutil", "pwd")
#: What asks nobody: names of files, names of errors, words of a wait status.
PURE = {"path.join", "path.basename", "path.dirname", "path.split", "fsencode", "fsdecode", "strerror", "WIFSIGNALED",
        "WTERMSIG", "WEXITSTATUS", "devnull", "defpath"}


def around_the_door(name: str, tree: ast.Module) -> list[str]:
    """What a module does to the operating system by itself, one sentence each."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "open":
            found.append(f"{name}:{node.lineno} opens a file by itself")
        if not (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ROOMS):
            continue
        if node.attr.isupper() or node.attr == "path" or node.attr in PURE or _is_type(node, tree):
            continue
        found.append(f"{name}:{node.lineno} uses {node.value.id}.{node.attr}")
    for node in ast.walk(tree):
        if (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute) and node.value.attr == "path"
                and isinstance(node.value.value, ast.Name) and node.value.value.id == "os"
                and f"path.{node.attr}" not in PURE):
            found.append(f"{name}:{node.lineno} uses os.path.{node.attr}")
    return found


def _is_type(node: ast.Attribute, tree: ast.Module) -> bool:
    """Whether it only says what something is: ``socket.socket`` in an annotation."""
    if node.attr != "socket":
        return False
    return not any(isinstance(call, ast.Call) and call.func is node for call in ast.walk(tree))


def _within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def far_side() -> dict[str, Module]:
    return {name: module for name, module in modules(PACKAGE).items()
            if _within(name, (GJOB,)) and not _within(name, INSIDE)}


def test_the_far_side_reaches_the_system_through_its_door_alone() -> None:
    found = far_side()
    assert len(found) > 25
    # Somebody's home where HOME does not say is found out once, before anything else.
    broken = [line for name, module in found.items() for line in around_the_door(name, module.tree)
              if "pwd.getpwuid" not in line]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("source", [
    "import os\nos.stat('x')\n", "import os\nos.path.exists('x')\n", "import time\nx = time.time\n", "open('x')\n",
    "import socket\nsocket.socket()\n"])
def test_a_way_around_the_door_is_seen(source: str) -> None:
    assert around_the_door("x", ast.parse(source))


def test_every_call_of_the_door_is_there_and_listed() -> None:
    assert all(callable(getattr(system, name)) for name in system.CALLS)
    defined = {node.name for node in ast.parse((PACKAGE / "gjob" / "system.py").read_text()).body
               if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")}
    assert defined - set(system.CALLS) == {"note_failure"}
