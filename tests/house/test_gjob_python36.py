"""The far side runs on Python 3.6: as vermin reads it, and under a real 3.6 where one is installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.source import PACKAGE, modules

GJOB = PACKAGE / "gjob"
VERMIN = "from vermin import main; main()"


def vermin(*targets: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", VERMIN, "--no-config-file", "--quiet", "--no-tips", "--violations"]
    command += ["-t=3.6-", *map(str, targets)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100)


def python36() -> str | None:
    """A Python 3.6 that starts, from PATH or pyenv."""
    candidates = [shutil.which("python3.6"), *sorted(Path.home().glob(".pyenv/versions/3.6*/bin/python"))]
    for candidate in filter(None, candidates):
        told = subprocess.run([str(candidate), "-c", "import sys; print(*sys.version_info[:2])"],
                              capture_output=True, text=True)
        if told.stdout.split() == ["3", "6"]:
            return str(candidate)
    return None


def run36(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code under 3.6 or, where it is missing, under our own Python; without installed packages."""
    python = python36() or sys.executable
    command = [python, "-S", "-B", "-c", code, *arguments]
    return subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=100)


def test_gjob_holds_nothing_newer_than_python_3_6() -> None:
    result = vermin(GJOB)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    "source",
    [
        "import time\ntime.time_ns()\n",
        "if (n := 3):\n    pass\n",
        "from os import posix_spawn\n",
        "import subprocess\nsubprocess.run(['x'], capture_output=True)\n",
        "from __future__ import annotations\n",
    ],
)
def test_something_newer_than_python_3_6_is_found(tmp_path: Path, source: str) -> None:
    (tmp_path / "new.py").write_text(source)
    result = vermin(tmp_path)
    assert result.returncode == 1
    assert "require" in result.stdout, result.stderr


def test_something_of_python_3_6_passes(tmp_path: Path) -> None:
    (tmp_path / "old.py").write_text("import subprocess\nx: int = 1_000\nprint(f'{x}')\n")
    assert vermin(tmp_path).returncode == 0


def test_every_module_of_gjob_compiles() -> None:
    code = "import sys\nfor p in sys.argv[1:]:\n    compile(open(p, encoding='utf-8').read(), p, 'exec')\n"
    result = run36(code, *map(str, sorted(GJOB.rglob("*.py"))))
    assert result.returncode == 0, result.stderr


def test_every_module_of_gjob_imports_without_our_package_above_it(tmp_path: Path) -> None:
    """On a host there is no sshjobs package: only gjob, as sent."""
    shutil.copytree(GJOB, tmp_path / "gjob", ignore=shutil.ignore_patterns("__pycache__"))
    names = [name for name in modules(tmp_path / "gjob") if not name.endswith("__main__")]
    assert len(names) > 1
    code = "import importlib, sys\nsys.path.insert(0, sys.argv[1])\n"
    code += "for name in sys.argv[2:]:\n    importlib.import_module(name)\n"
    result = run36(code, str(tmp_path), *names)
    assert result.returncode == 0, result.stderr
