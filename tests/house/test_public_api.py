"""What users import stays as it is, until someone decides otherwise and says so."""

from __future__ import annotations

import difflib
import enum
import re
import subprocess
import sys
from types import ModuleType
from typing import Any

from tests.house.public_api import FROZEN, describe, describe_all
from tests.house.source import PACKAGE, functions, modules


def test_the_public_api_is_the_frozen_one() -> None:
    frozen = FROZEN.read_text(encoding="utf-8").splitlines()
    difference = list(difflib.unified_diff(frozen, describe_all(), "frozen", "now", lineterm="", n=0))
    assert difference == [], "users see this change: run `make api`, and write it into docs/changelog.md"


def test_every_function_with_a_capital_is_frozen() -> None:
    """A capital letter is a promise: such a name is public, or it is spelled in lower case."""
    frozen = set(re.findall(r"\b[A-Z]\w*(?=\()", FROZEN.read_text(encoding="utf-8")))
    capitals = {
        name
        for module in modules(PACKAGE).values()
        for name, node in functions(module)
        if node.name[0].isupper()
    }
    assert {name for name in capitals if name.rpartition(".")[2] not in frozen} == set()


def test_importing_sshjobs_is_light() -> None:
    """Each command pays for the import; what only some commands need is imported by those."""
    command = [sys.executable, "-c", "import sys, sshjobs; print(*sys.modules)"]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    heavy = {"fabric", "paramiko", "pydantic", "rich", "click", "ClusterShell", "yaml"}
    assert heavy & set(loaded.stdout.split()) == set()


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"

    def darker(self) -> Colour:
        return self


class Base:
    def __init__(self, size, *, colour=Colour.RED):
        self.size = size

    def Paint(self, coats: int = 1, /, *extra: str, **options: Any) -> bool:
        return bool(coats)


class House(Base):
    floors: int
    sink = print

    @property
    def height(self):
        return 1

    @staticmethod
    async def build(plan, *, by: str | None = None) -> House:
        return House(1)

    def _cellar(self) -> None: ...


def made_up_package(**names: Any) -> ModuleType:
    package = ModuleType("tests")
    vars(package).update(names, __all__=list(names))
    return package


def test_the_description_names_signatures_members_and_values() -> None:
    package = made_up_package(House=House, Colour=Colour, STATES=["a", "b"], paint=Base.Paint)
    assert describe(package) == [
        "class Colour(Enum)",
        "Colour.RED = 'red'",
        "Colour.BLUE = 'blue'",
        "Colour.darker(self) -> Colour",
        "class House(Base)",
        "House.__init__(size, *, colour=Colour.RED)",
        "House.Paint(self, coats: int = 1, /, *extra: str, **options: Any) -> bool",
        "staticmethod async House.build(plan, *, by: str | None = None) -> House",
        "House.floors: attribute",
        "House.height: property",
        "House.sink: attribute",
        "STATES = ['a', 'b']",
        "paint(self, coats: int = 1, /, *extra: str, **options: Any) -> bool",
    ]


def test_a_changed_default_changes_the_description() -> None:
    def before(a, b=1): ...
    def after(a, b=2): ...

    assert describe(made_up_package(f=before)) != describe(made_up_package(f=after))
