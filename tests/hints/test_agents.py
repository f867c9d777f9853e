"""Hints that an agent gives about its host: each is met over real ssh, what it says is done, and the agent comes up."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from sshjobs.errors import HostError
from sshjobs.gjob import door, places
from sshjobs.gjob.places import Unusable
from sshjobs.model.host import Host
from sshjobs.network import HostUp, oneshot, traces
from tests.hints import tries
from tests.lab import BaseLab, LabHost, disks, open_lab
from tests.lab.files import USER_ID
from tests.network.meeting import meet

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and mounts need root")
SQUATTED = [f"{parent}/sshjobs-{USER_ID}" for parent in ("/tmp", "/dev/shm", "/var/tmp")]


@pytest.fixture(scope="module")
def own_lab() -> Iterator[BaseLab]:
    """A host for these tests only: what stands in their way is put on it."""
    with open_lab(hosts=1) as made:
        yield made


@pytest.fixture
def host(own_lab: BaseLab) -> LabHost:
    return own_lab.hosts[0]


def told_by(lab: BaseLab, said: list[str] | None = None, transport: str = "openssh") -> str | None:
    """Return what is said of the host when it cannot be used, ``None`` when it can."""
    (answer,) = meet([lab.names[0]], ssh_config=str(lab.ssh_config), told=said, transport=transport).values()
    return None if isinstance(answer, HostUp) else str(answer.error)


@needs_root
@tries("remove it", "have it removed")
@pytest.mark.parametrize(("plant", "advice"), [("touch", "is not a directory; remove it"),
                                               ("mkdir -m 777", "belongs to user 0; have it removed")])
def test_what_stands_in_the_place_of_the_sockets_is_removed(host: LabHost, own_lab: BaseLab, plant: str, advice: str) -> None:
    assert host.run([*plant.split(), SQUATTED[0], SQUATTED[1]]).returncode == 0
    said: list[str] = []
    assert told_by(own_lab, said) is None
    assert any(line.endswith(advice) for line in said), said
    assert host.run(["rm", "-r", SQUATTED[0], SQUATTED[1]]).returncode == 0
    said.clear()
    assert told_by(own_lab, said) is None and said == []


@needs_root
@tries("it says: {}", "make the home directory or /var/tmp there writable")
def test_a_home_is_made_writable_again(host: LabHost, own_lab: BaseLab) -> None:
    owners = ["chown", f"{USER_ID}:{USER_ID}", "/home/lab"]
    host.run(["chown", "0:0", "/home/lab"])
    host.run(["chmod", "755", "/var/tmp"])
    try:
        told = told_by(own_lab)
        assert told is not None and told.endswith("it says: make the home directory or /var/tmp there writable"), told
        host.run(["chmod", "1777", "/var/tmp"])
        assert told_by(own_lab) is None
        host.run(["chmod", "755", "/var/tmp"])
        host.run(owners)
        assert told_by(own_lab) is None
    finally:
        host.run(owners)
        host.run(["chmod", "1777", "/var/tmp"])


@needs_root
@tries("see that processes and files can be made there")
def test_a_user_who_may_have_processes_again_has_an_agent(host: LabHost, own_lab: BaseLab) -> None:
    (host.home / ".bashrc").write_text("ulimit -u 1\n")
    try:
        told = told_by(own_lab)
        assert told is not None and told.endswith("it says: see that processes and files can be made there"), told
    finally:
        (host.home / ".bashrc").unlink()
    assert told_by(own_lab) is None


@needs_root
@tries("make room in the home directory or in /var/tmp there")
def test_a_home_with_room_has_the_files_of_a_run(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with disks.small_disk(home, "4m"):
        with disks.without_bytes(home), pytest.raises(Unusable) as error:
            places.find(str(home / "root"), "1" * 32, "2" * 16)
        assert error.value.hint == "make room in the home directory or in /var/tmp there"
        assert Path(places.find(str(home / "root"), "1" * 32, "2" * 16).journals).is_dir()


@tries("make /tmp writable")
def test_sockets_are_made_where_something_can_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").touch()
    monkeypatch.setattr(door, "runtime_directories", lambda: [str(tmp_path / "tmp" / name) for name in ("a", "b", "c")])
    with pytest.raises(Unusable) as error:
        door.runtime_directory()
    assert error.value.hint == "make /tmp writable"
    (tmp_path / "tmp").unlink()
    (tmp_path / "tmp").mkdir(0o700)
    assert door.runtime_directory() == (str(tmp_path / "tmp" / "a"), None)


def asked(lab: BaseLab) -> object:
    """Return what the host tells of runs, or why it does not."""
    (answer,) = traces.survey([Host(lab.names[0])], ssh_config=str(lab.ssh_config))
    return answer


@needs_root
@tries("see to that there: ssh {}")
def test_a_host_that_could_not_tell_what_is_there_is_asked_again(host: LabHost, own_lab: BaseLab) -> None:
    assert host.run(["mount", "-t", "tmpfs", "-o", "mode=0", "tmpfs", "/proc"]).returncode == 0
    try:
        answer = str(asked(own_lab))
        assert answer.endswith(f"Permission denied; see to that there: ssh {host.name}"), answer
        assert "Permission denied" in host.ssh("ls /proc").stderr
    finally:
        host.run(["umount", "/proc"])
    assert isinstance(asked(own_lab), traces.HostTraces)


@tries("try again")
def test_a_host_that_is_asked_only_once_is_for_the_reader_to_try_again(own_lab: BaseLab, monkeypatch: pytest.MonkeyPatch) -> None:
    async def misunderstood(hosts: list[Host], request: object, **more: object) -> object:
        return await oneshot.ask_hosts(hosts, lambda host: {"verb": "nosuch"}, **more)  # type: ignore[arg-type]

    with monkeypatch.context() as broken:
        broken.setattr(traces, "ask_hosts", misunderstood)
        answer = asked(own_lab)
    assert isinstance(answer, HostError) and str(answer).endswith("; try again"), answer
    assert isinstance(asked(own_lab), traces.HostTraces)


@tries("raise the limit (ulimit -n); trying again")
def test_a_process_that_may_open_files_again_logs_in(own_lab: BaseLab, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, address: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as full:
        full.setattr("socket.socket.connect", refuse)
        told = told_by(own_lab, transport="fabric")
    assert told is not None and told.endswith("raise the limit (ulimit -n); trying again"), told
    assert told_by(own_lab, transport="fabric") is None
