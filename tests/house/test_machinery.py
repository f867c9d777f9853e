"""`make` on machines that lack something: root gets it installed, others read in one line what is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.source import ROOT

SYSTEM = ROOT / ".ci" / "system"
TESTS_NEED = {"sshd", "ssh", "ip", "nft", "tmux", "ps", "unshare", "mount", "strace", "bash", "zsh", "csh", "tcsh", "fish",
              "parallel", "chromium", "gearmand", "munged", "slurmctld", "srun"}


class Machine:
    """A PATH of stand-ins: the programs that are there, a user id, an apt-get that writes down its calls."""

    def __init__(self, where: Path, *, uid: int, programs: set[str]):
        self.bin = where / "bin"
        self.calls = where / "apt-get.calls"
        self.bin.mkdir()
        self.add("id", f"echo {uid}")
        for name in programs:
            self.add(name)

    def add(self, name: str, script: str = "exit 0") -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def add_apt_get(self, *, brings: set[str]) -> None:
        """Let apt-get put the given programs on the PATH when it is asked to install anything."""
        lines = [f'echo "$DEBIAN_FRONTEND $*" >> {self.calls}', 'case "$*" in *install*)']
        for path in (self.bin / name for name in brings):
            lines.append(f"printf '#!/bin/sh\\n' > {path}; /bin/chmod 755 {path}")
        self.add("apt-get", "\n".join([*lines, ";; esac"]))

    def run(self, group: str) -> subprocess.CompletedProcess[str]:
        # The real sbin directories must not be seen: the script's own PATH addition is edited out of a copy.
        script = SYSTEM.read_text().replace("PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin\n", "")
        return subprocess.run(["/bin/sh", "-s", group], input=script, env={"PATH": str(self.bin)},
                              capture_output=True, text=True, timeout=60)


def test_nothing_is_asked_of_apt_where_nothing_is_missing(tmp_path: Path) -> None:
    machine = Machine(tmp_path, uid=0, programs=TESTS_NEED)
    machine.add_apt_get(brings=set())
    told = machine.run("tests")
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")
    assert not machine.calls.exists()


def test_root_gets_only_what_is_missing_installed(tmp_path: Path) -> None:
    machine = Machine(tmp_path, uid=0, programs=TESTS_NEED - {"sshd", "tmux"})
    machine.add_apt_get(brings={"sshd", "tmux"})
    told = machine.run("tests")
    assert told.returncode == 0, told.stderr
    assert machine.calls.read_text().splitlines() == [
        "noninteractive -qq update",
        "noninteractive -qq -y --no-install-recommends install openssh-server tmux",
    ]


def test_what_installs_is_told_where_programs_are_though_nobody_has_set_that(tmp_path: Path) -> None:
    """As under ``env -i``: a shell has a PATH for itself then, and dpkg refuses to work without one."""
    machine = Machine(tmp_path, uid=0, programs=set())
    machine.add("apt-get", f'export -p >> {machine.calls}; printf "#!/bin/sh\\n" > {machine.bin}/make; /bin/chmod 755 {machine.bin}/make')
    script = SYSTEM.read_text().replace("PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin\n", f"PATH={machine.bin}\n")
    told = subprocess.run(["/bin/sh", "-s", "make"], input=script, env={}, capture_output=True, text=True, timeout=60)
    assert (told.returncode, told.stderr) == (0, "")
    assert str(machine.bin) in machine.calls.read_text()


def test_others_are_told_in_one_line_what_is_missing(tmp_path: Path) -> None:
    machine = Machine(tmp_path, uid=1000, programs=TESTS_NEED - {"nft", "tmux"})
    machine.add_apt_get(brings=TESTS_NEED)
    told = machine.run("tests")
    assert told.returncode == 1
    assert len(told.stderr.splitlines()) == 1
    assert told.stderr.startswith("missing: nftables tmux;")
    assert not machine.calls.exists()


def test_an_apt_get_that_brings_nothing_is_not_believed(tmp_path: Path) -> None:
    machine = Machine(tmp_path, uid=0, programs=TESTS_NEED - {"tmux"})
    machine.add_apt_get(brings=set())
    told = machine.run("tests")
    assert told.returncode == 1
    assert "still missing: tmux" in told.stderr


def test_a_python_without_venv_names_its_own_package(tmp_path: Path) -> None:
    machine = Machine(tmp_path, uid=1000, programs=set())
    version = '*print*) echo python3.11-venv ;; *) exit 1 ;;'
    machine.add("python3", f'case "$2" in {version} esac')
    told = machine.run("python")
    assert told.returncode == 1
    assert told.stderr.startswith("missing: python3.11-venv;")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What .ci/venv reads, in a directory of its own."""
    where = tmp_path / "a checkout"
    where.mkdir()
    shutil.copytree(ROOT / ".ci", where / ".ci")
    for name in ("setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, where)
    return where


def venv(where: Path, *arguments: str, python: Path | str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([where / ".ci" / "venv", *arguments], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "PYTHON": str(python)})


def stand_in(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_a_python_too_old_is_told_in_one_line(checkout: Path) -> None:
    answers = "*version_info*) exit 1 ;; *--version*) echo Python 3.9.2 ;;"
    old = stand_in(checkout / "python3.9", f'case "$*" in {answers} esac')
    told = venv(checkout, python=old)
    assert told.returncode == 1
    assert told.stderr.splitlines() == [
        "Python 3.9.2 is too old: sshjobs needs Python 3.10 or newer; "
        "name one with: make PYTHON=/path/to/python3"
    ]
    assert not (checkout / ".venv").exists()


def test_a_second_call_installs_nothing(checkout: Path) -> None:
    calls = checkout / "calls"
    python = stand_in(checkout / ".venv" / "bin" / "python", f'echo "$*" >> "{calls}"')
    assert venv(checkout, "dev", python=sys.executable).returncode == 0
    assert "pip install" in calls.read_text()
    assert python.exists()
    calls.unlink()
    told = venv(checkout, "dev", python=sys.executable)
    assert (told.returncode, told.stdout) == (0, "")
    assert "pip" not in calls.read_text()


@pytest.mark.parametrize("change", ["setup.cfg", "pyproject.toml", "moved"])
def test_what_changed_is_installed_anew(checkout: Path, change: str) -> None:
    stand_in(checkout / ".venv" / "bin" / "python", "exit 0")
    assert venv(checkout, python=sys.executable).returncode == 0
    if change == "moved":
        checkout = checkout.rename(checkout.with_name("elsewhere"))
    else:
        with (checkout / change).open("a") as file:
            file.write("# changed\n")
    assert "installing sshjobs" in venv(checkout, python=sys.executable).stdout


@pytest.mark.parametrize(("failures", "code"), [(0, 0), (1, 0), (2, 2)])
def test_what_fails_beside_others_is_tried_once_more_alone(tmp_path: Path, failures: int, code: int) -> None:
    (tmp_path / "test_it.py").write_text(f"""
from pathlib import Path

def test_unsteady():
    with open("calls", "a") as calls:
        calls.write("x")
    assert len(Path("calls").read_text()) > {failures}

def test_steady():
    with open("steady", "a") as calls:
        calls.write("x")
""")
    (tmp_path / "setup.cfg").write_text("[tool:pytest]\n")
    python = Path(sys.executable).parent
    made = subprocess.run(["make", "-C", str(tmp_path), "-f", str(ROOT / "Makefile"), "-o", "system", "-o", "lint", "test", f"BIN={python}",
                           "PYTEST_ARGS=-n 2"], capture_output=True, text=True, timeout=120)
    assert made.returncode == code, made.stdout + made.stderr
    assert len((tmp_path / "calls").read_text()) == min(failures + 1, 2)
    assert (tmp_path / "steady").read_text() == "x"
    assert ("once more, one at a time" in made.stdout) is (failures > 0)
