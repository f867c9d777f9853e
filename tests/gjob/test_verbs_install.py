"""``sshjobs hosts install``: one file in ~/.local/bin of each host, and away again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sshjobs import __version__
from sshjobs.gjob import ship
from sshjobs.gjob.verbs import install as verbs_install
from tests.gjob.command import write_command
from tests.lab import BaseLab, LabHost

Install = Callable[..., subprocess.CompletedProcess[str]]
PROGRAM = ".local/bin/gjob"


@pytest.fixture
def install(lab: BaseLab, sshjobs_cli: Callable[..., subprocess.CompletedProcess[str]]) -> Iterator[Install]:
    """Run ``sshjobs hosts install`` against the lab; afterwards the homes are as they were."""
    yield lambda *words: sshjobs_cli("hosts", "install", "--ssh-config", lab.ssh_config, *words)
    for host in lab.hosts:
        shutil.rmtree(host.home / ".local", ignore_errors=True)


def test_install_puts_a_program_there_that_works_and_says_if_it_is_not_found(install: Install, lab: BaseLab) -> None:
    one, two = lab.hosts[:2]
    done = install("--hosts", "node[01-02]")
    assert (done.returncode, done.stderr) == (0, "")
    for line, host in zip(done.stdout.splitlines(), (one, two), strict=True):
        assert line.startswith(f"{host.name}  ok  installed: /home/lab/.local/bin/gjob; /home/lab/.local/bin is not on")
        assert (host.home / PROGRAM).stat().st_mode & 0o7777 == 0o755
        assert os.listdir((host.home / PROGRAM).parent) == ["gjob"]
    assert one.ssh("~/.local/bin/gjob --version").stdout == f"gjob {__version__}\n"
    name = one.ssh("~/.local/bin/gjob local mkdir").stdout.strip()
    told = one.ssh(f"~/.local/bin/gjob local start {name} sh -c 'exit 3'")
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")
    one.ssh("rm -r node01")


def test_a_directory_on_the_path_is_not_complained_about(install: Install, lab_host: LabHost) -> None:
    (lab_host.home / ".bashrc").write_text("PATH=~/.local/bin:$PATH\n")
    try:
        done = install("--hosts", lab_host.name)
        assert lab_host.ssh("gjob --version").stdout == f"gjob {__version__}\n"
    finally:
        (lab_host.home / ".bashrc").unlink()
    assert done.stdout == f"{lab_host.name}  ok  installed: /home/lab/.local/bin/gjob\n"


def test_what_is_there_already_is_left_or_updated(install: Install, lab_host: LabHost) -> None:
    install("--hosts", lab_host.name)
    before = (lab_host.home / PROGRAM).stat().st_ino
    assert "already there: " in install("--hosts", lab_host.name).stdout
    assert (lab_host.home / PROGRAM).stat().st_ino == before
    write_command(lab_host.home / PROGRAM, "/usr/bin/env python3", "0.0.9")
    assert f"(0.0.9 -> {__version__})" in install("--hosts", lab_host.name).stdout
    assert lab_host.ssh("~/.local/bin/gjob --version").stdout == f"gjob {__version__}\n"


def test_a_newer_one_and_another_program_are_only_replaced_by_force(install: Install, lab_host: LabHost) -> None:
    path = lab_host.home / PROGRAM
    lab_host.ssh("mkdir -p ~/.local/bin")
    write_command(path, "/usr/bin/env python3", "999.0")
    done = install("--hosts", lab_host.name)
    assert done.returncode == 3 and "version 999.0 is there, newer than" in done.stdout
    path.write_text("#!/bin/sh\necho somebody's\n")
    assert "another program of that name is there" in install("--hosts", lab_host.name).stdout
    assert "another program of that name is there" in install("--hosts", lab_host.name, "--remove").stdout
    assert "somebody's" in path.read_text()
    assert install("--hosts", lab_host.name, "--force").returncode == 0
    assert verbs_install.installed(str(path)) == __version__


def test_remove_takes_it_away(install: Install, lab_host: LabHost) -> None:
    install("--hosts", lab_host.name)
    told = [json.loads(install("--hosts", lab_host.name, "--remove", "--json").stdout) for _ in range(2)]
    assert [facts["did"] for facts in told] == ["removed", "absent"]
    assert not (lab_host.home / PROGRAM).exists()


def test_a_host_that_cannot_be_reached_does_not_hinder_the_others(install: Install, lab_host: LabHost) -> None:
    done = install("--hosts", f"nowhere.invalid,{lab_host.name}")
    assert done.returncode == 1
    first, second = done.stdout.splitlines()
    assert first.startswith("nowhere.invalid  NO  the name cannot be resolved")
    assert second.startswith(f"{lab_host.name}           ok  installed")


def test_an_interpreter_that_is_named_for_a_host_is_used_there(install: Install, lab_host: LabHost) -> None:
    assert install("--hosts", f"{lab_host.name} python=/usr/bin/python3").returncode == 0
    assert (lab_host.home / PROGRAM).read_bytes().startswith(b"#!/usr/bin/python3\n")


def test_one_version_is_the_same_bytes_wherever_it_is_made(tmp_path: Path) -> None:
    program = write_command(tmp_path / "gjob", sys.executable)
    code = f"import sys; sys.path.insert(0, {str(program)!r}); from sshjobs.gjob import ship; " \
           f"sys.stdout.buffer.write(ship.one_file({__version__!r}))"
    made = subprocess.run([sys.executable, "-ISc", code], capture_output=True, timeout=20)
    assert made.stdout == ship.one_file(__version__), made.stderr


@pytest.mark.parametrize("old", ["2.7", "3.5"])
def test_an_old_python_says_what_it_is(tmp_path: Path, old: str) -> None:
    program = write_command(tmp_path / "gjob", sys.executable)
    major, minor = old.split(".")
    code = f"import sys, runpy; sys.version_info = ({major}, {minor}, 0); sys.argv = ['gjob']; " \
           f"runpy.run_path({str(program)!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stderr) == (
        1, f"gjob: this is Python {old}: 3.6 or newer is needed; put one first in PATH\n")
