"""What is read of the user's ssh configuration without asking ssh: never anything that ssh would tell otherwise."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from sshjobs.model.host import Host, split_login
from sshjobs.network.transport import glance as module
from sshjobs.network.transport.glance import Glance, glance_at, is_near
from sshjobs.network.transport.openssh import gates_of
from sshjobs.network.transport.settings import ask_ssh

PLAIN = """
# ProxyJump in a comment
Host a b
    HostName 10.0.0.1
Host web-* !web-9
    hostname=%h.Example.ORG
    User somebody
Host web-9
\tHostName other
Host *
    HostName everybody-else
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config"


@pytest.mark.parametrize("name", ["a", "b", "c", "web-1", "web-9", "web-22"])
def test_names_are_those_that_ssh_tells(config: Path, name: str) -> None:
    config.write_text(PLAIN)
    assert shutil.which("ssh") is not None
    assert Glance.at(str(config)).hostname(name) == ask_ssh(split_login(name), str(config))["hostname"][0]


@pytest.mark.parametrize("text", [
    "ProxyJump gate\n", "Host x\n  ProxyCommand nc %h %p\n", "proxyjump=gate\n", "Match all\n", "Host a\n  Include more\n",
    "HostName %n\n", 'Host "a b"\n  HostName c\n', "CanonicalizeHostname yes\n", "Include ${SOMEWHERE}/more\n",
])
def test_what_only_ssh_understands_is_left_to_ssh(config: Path, text: str) -> None:
    config.write_text("Host z\n  HostName 10.0.0.9\n" * text.startswith("Host ") + text)
    assert Glance.at(str(config)).hostname("a") is None


def test_included_files_count_where_they_stand(config: Path, tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "1.conf").write_text("Host a\n  HostName first\n")
    config.write_text(f"Include {tmp_path}/parts/*.conf\nHostName last\n")
    glance = Glance.at(str(config))
    assert (glance.hostname("a"), glance.hostname("b")) == ("first", "last")
    (tmp_path / "parts" / "2.conf").write_text("Host b\n  ProxyJump gate\n")
    assert not glance.fresh
    assert Glance.at(str(config)).hostname("b") is None


def test_a_file_that_includes_itself_is_left_to_ssh(config: Path) -> None:
    config.write_text(f"Include {config}\n")
    assert Glance.at(str(config)).hostname("a") is None


def test_a_change_of_the_configuration_is_seen(config: Path) -> None:
    config.write_text("Host a\n  HostName first\n")
    assert gates_of(Host("a"), str(config)) == ["first"]
    config.write_text("Host a\n  HostName another\n")
    assert gates_of(Host("a"), str(config)) == ["another"]
    assert glance_at(str(config)) is glance_at(str(config))


def test_a_jump_host_is_a_gate(config: Path) -> None:
    config.write_text("Host a\n  ProxyJump gate\n")
    assert gates_of(Host("a"), str(config)) == ["gate"]


@pytest.mark.parametrize("name, near", [
    ("10.1.2.3", True), ("192.168.0.7", True), ("172.31.0.1", True), ("127.0.0.1", True), ("fe80::1", True),
    ("fd00::7", True), ("node01", True), ("node01.lan", True), ("172.32.0.1", False), ("100.1.2.3", False),
    ("2001:db8::1", False), ("10.example.org", False), ("node01.example.org", False),
])
def test_what_a_name_or_an_address_tells_of_how_near_a_host_is(config: Path, name: str, near: bool) -> None:
    config.write_text(f"Host a\n  HostName {name}\n")
    assert is_near(Host("a"), str(config)) is near


def test_a_host_behind_another_is_not_taken_for_near(config: Path) -> None:
    config.write_text("Host b\n  ProxyJump gate\n")
    assert not is_near(Host("b"), str(config))
    assert not is_near(Host("10.0.0.1", via="gate"), str(config))


def test_many_hosts_do_not_need_a_process_each(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text("Host a*\n  HostName %h.lan\n")
    read: list[str] = []
    before = module._lines

    def lines(text: str) -> Iterator[tuple[str, str]]:
        read.append(text)
        return before(text)

    monkeypatch.setattr(module, "_lines", lines)
    monkeypatch.setattr("sshjobs.network.transport.settings.ask_ssh", None)
    assert [gates_of(Host(f"a{number}"), str(config)) for number in range(40)] == [[f"a{n}.lan"] for n in range(40)]
    assert len(read) == 1
