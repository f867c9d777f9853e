"""What `pip install` puts on a disk is the whole program."""

from __future__ import annotations

import ast
import configparser
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.house.source import PACKAGE, ROOT, imports, modules

JOBFILE = "jobs:\n- name: hello\n  argv: [echo, it runs]\n"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy, so that nothing is left in the checkout."""
    copy = tmp_path_factory.mktemp("source")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(PACKAGE, copy / "sshjobs", ignore=shutil.ignore_patterns("__pycache__"))
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--wheel-dir", str(out), str(copy)]
    subprocess.run(command, check=True, timeout=110)
    return next(out.glob("sshjobs-*.whl"))


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("sshjobs/")}
    ours = {
        path.relative_to(ROOT).as_posix()
        for path in PACKAGE.rglob("*") if path.is_file() and path.suffix != ".pyc"
    }
    assert packed == ours
    assert {"sshjobs/py.typed", "sshjobs/store/schema.sql", "sshjobs/gjob/__init__.py"} <= packed


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin directory of an environment with the wheel and our libraries, but not the checkout."""
    venv = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True, timeout=60)
    python = venv / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True, timeout=60)
    # The libraries come from this environment; its .pth files, and with them the checkout, do not take part.
    purelib = Path(sysconfig.get_path("purelib", vars={"base": str(venv)}))
    (purelib / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return venv / "bin"


def run_installed(installed: Path, home: Path, *command: str) -> str:
    """Run an installed command in an empty home, and return its output.

    :raises AssertionError: it failed
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    told = subprocess.run([installed / command[0], *command[1:]], cwd=home, env={**environment, "HOME": str(home)},
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100)
    assert told.returncode == 0, told.stdout + told.stderr
    return told.stdout


@pytest.mark.parametrize("command", ["sshjobs", "gjob"])
def test_an_installed_command_explains_itself(installed: Path, tmp_path: Path, command: str) -> None:
    assert command in run_installed(installed, tmp_path, command, "--help")


def test_an_installed_sshjobs_runs_a_job_without_the_checkout(installed: Path, tmp_path: Path) -> None:
    where = run_installed(installed, tmp_path, "python", "-c", "import sshjobs; print(sshjobs.__file__)")
    assert where.startswith(str(installed.parent))
    (tmp_path / "jobs.yaml").write_text(JOBFILE)
    run_installed(installed, tmp_path, "sshjobs", "run", "jobs.yaml")
    assert (tmp_path / "results" / "jobs-1" / "jobs" / "hello" / "stdout").read_text() == "it runs\n"


def test_the_version_is_read_without_importing_anything() -> None:
    """setup.cfg takes it from ``sshjobs.__version__``; a build has none of our dependencies."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    values = [
        node.value for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__"
    ]
    assert len(values) == 1
    assert isinstance(ast.literal_eval(values[0]), str)


def test_every_imported_library_is_a_declared_dependency() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    extras = config["options.extras_require"]
    needs = (config["options"]["install_requires"],
             *(extras[name] for name in ("web", "joblib", "gearman", "ipython", "zmq", "dask", "tui")))
    declared = {_plain(line.partition(">")[0]) for needed in needs for line in needed.split()}
    sold_as = dict(packages_distributions())
    sold_as["pydantic_core"] = ["pydantic"]  # which pins it, and lends its types to error reports
    sold_as["dask"] = ["distributed"]  # which pins it, and reads limits of memory by it
    sold_as["tomli"] = ["tomli"]  # for the Pythons that have no tomllib of their own; not there beside the others
    sold_as["typing_extensions"] = ["pydantic"]  # which needs it; here type checkers alone load it
    outside = {
        top for module in modules(PACKAGE).values() for item in imports(module)
        if (top := item.target.partition(".")[0]) not in sys.stdlib_module_names | {"sshjobs"}
    }
    undeclared = {name for name in outside if not declared & set(map(_plain, sold_as.get(name, [])))}
    assert undeclared == set()


def _plain(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()
