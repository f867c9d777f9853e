"""The house has floors: imports go down, never up or in a circle, and outside things have one door each."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house import rules
from tests.house.source import PACKAGE, ROOT, modules

LINT_IMPORTS = "from importlinter.cli import lint_imports_command; lint_imports_command()"


def lint_imports(where: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter in a directory, with the contracts of its pyproject.toml."""
    return subprocess.run(
        [sys.executable, "-c", LINT_IMPORTS, "--no-cache", "--no-logo"],
        cwd=where, capture_output=True, text=True, timeout=100,
    )


def make_package(where: Path, files: dict[str, str]) -> Path:
    """Write a made-up sshjobs: every required module, empty but for the given ones; return its directory."""
    package = where / "sshjobs"
    contracts = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    layers = contracts.partition("layers = [")[2].partition("\n]")[0]
    packages = {name.partition("/")[0] for name in files if "/" in name}
    required = [f"{name}/__init__" if name in packages else name for name in re.findall(r"\w+", layers)]
    for name in ["__init__", *required, *files]:
        path = package / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files.get(name, ""))
    return package


def test_no_module_imports_from_a_higher_floor() -> None:
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"model/spec": "import sshjobs.running.manager\n", "running/manager": ""}, "sshjobs.model.spec -> sshjobs.running.manager"),
        ({"store/rows": "def late():\n    from sshjobs.cli import main\n", "cli/__init__": "main = 1\n"},
         "sshjobs.store.rows -> sshjobs.cli"),
        ({"scheduling/queue": "from sshjobs import Manager\n", "__init__": "from sshjobs.running.manager import Manager\n",
          "running/manager": "Manager = 1\n"}, "sshjobs -> sshjobs.running.manager"),
        ({"gjob/core": "from sshjobs.errors import SshjobsError\n", "errors": "SshjobsError = OSError\n"},
         "sshjobs.gjob.core -> sshjobs.errors"),
        ({"attic": ""}, "attic"),
    ],
    ids=["upward", "upward inside a function", "upward through the package", "gjob on ours", "on no floor"],
)
def test_a_made_up_house_is_condemned(tmp_path: Path, files: dict[str, str], complaint: str) -> None:
    make_package(tmp_path, files)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    result = lint_imports(tmp_path)
    assert result.returncode == 1, result.stdout + result.stderr
    assert complaint in result.stdout


def test_a_made_up_house_in_order_passes(tmp_path: Path) -> None:
    package = make_package(tmp_path, {"running/manager": "from sshjobs.network import engine\n", "network/engine": ""})
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    result = lint_imports(tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert rules.cycles(modules(package)) == []


def test_every_module_has_a_room() -> None:
    here = [entry for entry in PACKAGE.iterdir() if entry.name != "__pycache__"]
    assert {entry.name for entry in here if entry.is_file()} == {"__init__.py", "__main__.py", "errors.py", "py.typed"}
    assert sum(entry.is_dir() for entry in here) <= 20


def test_the_floors_are_few() -> None:
    contracts = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert len(re.findall(r'^    "', contracts.partition("layers = [")[2].partition("\n]")[0], re.MULTILINE)) <= 8


def test_no_imports_go_in_a_circle() -> None:
    assert rules.cycles(modules(PACKAGE)) == []


@pytest.mark.parametrize(
    "files",
    [
        {"model/spec": "from sshjobs.model.host import Host\n", "model/host": "def f():\n    from .spec import Job\n"},
        {"store/__init__": "from .rows import Row\n", "store/rows": "from . import Row\n"},
        {"inputs/a": "from . import b\n", "inputs/b": "import sshjobs.inputs.c\n",
         "inputs/c": "from .a import x\n"},
    ],
    ids=["two siblings", "a package and its module", "three in a ring"],
)
def test_a_circle_is_found(tmp_path: Path, files: dict[str, str]) -> None:
    complaints = rules.cycles(modules(make_package(tmp_path, files)))
    assert len(complaints) == 1
    assert complaints[0].startswith("imports in a circle: sshjobs.")


def test_two_modules_may_know_each_others_types(tmp_path: Path) -> None:
    spec = "import typing\nif typing.TYPE_CHECKING:\n    from sshjobs.model.host import Host\n"
    package = make_package(tmp_path, {"model/spec": spec, "model/host": "from sshjobs.model.spec import Job\n"})
    assert rules.cycles(modules(package)) == []


def test_each_outside_library_has_one_door() -> None:
    assert rules.broken_doors(modules(PACKAGE)) == []


def test_a_library_at_the_wrong_door_is_found(tmp_path: Path) -> None:
    source = "import json\nimport sqlite3\n"
    package = make_package(tmp_path, {"running/manager": source, "store/db": source})
    assert rules.broken_doors(modules(package)) == [
        "sshjobs.running.manager:2 imports sqlite3; only sshjobs.store may",
    ]


def test_gjob_needs_only_the_standard_library() -> None:
    assert rules.not_stdlib(modules(PACKAGE), "sshjobs.gjob") == []


def test_gjob_with_a_foreign_import_is_found(tmp_path: Path) -> None:
    source = "import os\nfrom . import frames\ntry:\n    import psutil\nexcept ImportError:\n    pass\n"
    package = make_package(tmp_path, {"gjob/core": source, "gjob/frames": "from ..model.states import STATES\n"})
    assert rules.not_stdlib(modules(package), "sshjobs.gjob") == [
        "sshjobs.gjob.core:4 imports psutil, neither its own nor the standard library's",
        "sshjobs.gjob.frames:1 imports sshjobs.model.states.STATES, neither its own nor the standard library's",
    ]
