"""Keys of hosts: right, unknown, wrong and revoked ones, on every transport that uses ssh, jump hosts included."""

from __future__ import annotations

import base64
import hashlib
import hmac
import subprocess
from pathlib import Path

import pytest

from sshjobs.model.host import Host, split_login
from sshjobs.network import HostDown
from sshjobs.network.transport.causes import host_error
from sshjobs.network.transport.keyadvice import key_advice
from sshjobs.network.transport.knownhosts import known_keys
from sshjobs.network.transport.settings import ask_ssh
from tests.network.meeting import SSH, kinds, meet, with_known_hosts


def key_lines(lab) -> dict[str, str]:
    """Type and key of every host, as in known_hosts."""
    found = {}
    for line in lab.known_hosts.read_text().splitlines():
        names, key = line.split(" ", 1)
        found[names.partition(",")[0]] = key
    return found


@pytest.fixture(params=SSH)
def transport(request) -> str:
    return request.param


@pytest.fixture
def first(lab):
    return lab.hosts[0]


def test_a_host_with_the_right_key_is_used(lab, first, transport):
    assert kinds(meet([first.name], transport=transport, ssh_config=str(lab.ssh_config))) == {first.name: "up"}


@pytest.mark.parametrize("checking", ["", "StrictHostKeyChecking no", "StrictHostKeyChecking accept-new"])
def test_an_unknown_key_is_refused_whatever_the_configuration_says(lab, first, transport, tmp_path, checking):
    config = with_known_hosts(lab, tmp_path, [], f"Host *\n    {checking}\n" if checking else "")
    (answer,) = meet([first.name], transport=transport, ssh_config=config).values()
    assert isinstance(answer, HostDown)
    assert (answer.error.kind, answer.error.lasting) == ("host-key-unknown", True)
    assert f"ssh {first.name}" in str(answer.error)
    assert (tmp_path / "known_hosts").read_text() == ""


def test_a_wrong_key_is_refused(lab, first, transport, tmp_path):
    other = key_lines(lab)[lab.hosts[1].name]
    config = with_known_hosts(lab, tmp_path, [f"{first.name},{first.address} {other}"],
                              "Host *\n    StrictHostKeyChecking no\n")
    (answer,) = meet([first.name], transport=transport, ssh_config=config).values()
    assert isinstance(answer, HostDown)
    assert (answer.error.kind, answer.error.lasting) == ("host-key-changed", True)
    assert f"ssh-keygen -R {first.name}" in str(answer.error)


def test_a_revoked_key_is_refused_though_it_is_on_file(lab, first, transport, tmp_path):
    key = key_lines(lab)[first.name]
    config = with_known_hosts(lab, tmp_path, [f"{first.address} {key}", f"@revoked * {key}"])
    assert kinds(meet([first.name], transport=transport, ssh_config=config)) == {first.name: "host-key-revoked"}


def test_a_key_on_file_under_a_hash_is_right(lab, first, transport, tmp_path):
    config = with_known_hosts(lab, tmp_path, [f"{first.address} {key_lines(lab)[first.name]}"])
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", tmp_path / "known_hosts"], check=True, capture_output=True)
    assert (tmp_path / "known_hosts").read_text().startswith("|1|")
    assert kinds(meet([first.name], transport=transport, ssh_config=config)) == {first.name: "up"}


def test_one_of_two_keys_on_file_is_enough(lab, first, transport, tmp_path):
    keys = key_lines(lab)
    config = with_known_hosts(lab, tmp_path, [f"{first.address} {keys[lab.hosts[1].name]}",
                                              f"{first.address} {keys[first.name]}"])
    assert kinds(meet([first.name], transport=transport, ssh_config=config)) == {first.name: "up"}


@pytest.mark.parametrize(("told", "kind"), [("nothing", "host-key-unknown"), ("wrong", "host-key-changed"),
                                            ("right", "up")])
def test_the_key_of_a_jump_host_is_checked_too(lab, transport, tmp_path, told, kind):
    jump, worker, third = lab.hosts[:3]
    keys = key_lines(lab)
    lines = [f"{worker.address} {keys[worker.name]}"]
    if told != "nothing":
        lines.append(f"{jump.address} {keys[third.name if told == 'wrong' else jump.name]}")
    config = with_known_hosts(lab, tmp_path, lines, "Host *\n    StrictHostKeyChecking no\n")
    host = Host(worker.name, via=jump.name)
    assert kinds(meet([host], transport=transport, ssh_config=config)) == {worker.name: kind}


# -- known_hosts, line by line ---------------------------------------------------------------------------------------


def known(tmp_path, text: str, hostname: str, port: int = 22, alias: str | None = None) -> list[bytes]:
    (tmp_path / "known").write_text(text)
    return [key for _, key in known_keys([str(tmp_path / "known")], hostname, port, alias).trusted]


def key(text: bytes) -> str:
    return f"ssh-ed25519 {base64.b64encode(text).decode()}"


@pytest.mark.parametrize(("hosts", "hostname", "port", "found"), [
    ("h", "h", 22, True), ("h", "H", 22, True), ("H", "h", 22, True), ("h", "hh", 22, False),
    ("h,10.0.0.1", "10.0.0.1", 22, True), ("*.example.com", "a.example.com", 22, True),
    ("*.example.com", "example.com", 22, False), ("node?", "node1", 22, True),
    ("*.example.com,!bad.example.com", "bad.example.com", 22, False), ("!bad,*", "good", 22, True),
    ("[h]:2222", "h", 2222, True), ("[h]:2222", "h", 22, False), ("h", "h", 2222, True), ("[h]:*", "h", 2222, True),
    ("[a-z]", "b", 22, False), ("|1|nonsense|x", "h", 22, False), ("|1|", "h", 22, False),
])
def test_names_match_as_in_ssh(tmp_path, hosts, hostname, port, found):
    assert known(tmp_path, f"{hosts} {key(b'k')}\n", hostname, port) == ([b"k"] if found else [])


def test_a_key_of_its_own_port_counts_alone(tmp_path):
    assert known(tmp_path, f"h {key(b'one')}\n[h]:2222 {key(b'two')}\n", "h", 2222) == [b"two"]


def test_an_alias_takes_the_place_of_name_and_port(tmp_path):
    text = f"h {key(b'name')}\nthe-alias {key(b'alias')}\n[the-alias]:2222 {key(b'port')}\n"
    assert known(tmp_path, text, "h", 2222, "The-Alias") == [b"alias"]


def test_a_hash_is_of_name_and_port(tmp_path):
    salt = b"s" * 20
    words = [base64.b64encode(part).decode() for part in (salt, hmac.new(salt, b"[h]:2222", hashlib.sha1).digest())]
    text = f"|1|{words[0]}|{words[1]} {key(b'k')}\n"
    assert known(tmp_path, text, "h", 2222) == [b"k"]
    assert known(tmp_path, text, "h", 2223) == []


def test_lines_that_are_no_keys_are_passed_over(tmp_path):
    text = f"# h {key(b'no')}\n\nh\nh ssh-rsa\nh ssh-rsa ***\n@cert-authority h {key(b'ca')}\n@revoked\nh {key(b'k')}\n"
    assert known(tmp_path, text, "h") == [b"k"]
    assert known_keys([str(tmp_path / "absent"), str(tmp_path)], "h", 22).trusted == ()


def test_a_verdict_tells_changed_from_unknown_by_the_type(tmp_path):
    (tmp_path / "known").write_text(f"h {key(b'mine')}\n@revoked h {key(b'gone')}\nh {key(b'gone')}\n")
    keys = known_keys([str(tmp_path / "known")], "h", 22)
    assert keys.verdict("ssh-ed25519", b"mine") == "known"
    assert keys.verdict("ssh-ed25519", b"other") == "host-key-changed"
    assert keys.verdict("ssh-rsa", b"mine") == "host-key-unknown"
    assert keys.verdict("ssh-ed25519", b"gone") == "host-key-revoked"


# -- keys that a file revokes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["list", "krl"])
def test_a_key_that_a_file_revokes_is_told_as_revoked(lab, first, transport, tmp_path, form):
    config, revoked = with_revoked(lab, tmp_path, form, key_lines(lab)[first.name])
    (answer,) = meet([first.name], transport=transport, ssh_config=config).values()
    assert isinstance(answer, HostDown)
    assert (answer.error.kind, answer.error.lasting) == ("host-key-revoked", True)
    assert "ssh-keygen -R" not in str(answer.error) and str(revoked) in str(answer.error)


@pytest.mark.parametrize("form", ["list", "krl"])
def test_a_file_that_revokes_other_keys_revokes_no_others(lab, first, transport, tmp_path, form):
    config, _ = with_revoked(lab, tmp_path, form, key_lines(lab)[lab.hosts[1].name])
    assert kinds(meet([first.name], transport=transport, ssh_config=config)) == {first.name: "up"}


@pytest.mark.parametrize("form", ["absent", "broken"])
def test_where_the_revoked_keys_cannot_be_read_no_key_is_trusted(lab, first, transport, tmp_path, form):
    config, _ = with_revoked(lab, tmp_path, form, "")
    answers = meet([first.name], transport=transport, ssh_config=config)
    assert kinds(answers) == {first.name: "bad-config"}, answers


def with_revoked(lab, tmp_path, form: str, line: str) -> tuple[str, Path]:
    """Write a configuration with a file of revoked keys; return the paths of both."""
    revoked = tmp_path / "revoked"
    (tmp_path / "one.pub").write_text(f"{line}\n")
    if form == "list":
        revoked.write_text(f"# gone\n{line}\n")
    elif form == "krl":
        subprocess.run(["ssh-keygen", "-q", "-k", "-f", revoked, tmp_path / "one.pub"], check=True)
    elif form == "broken":
        revoked.write_bytes(b"SSHKRL\n\0nonsense")
    config = lab.write_ssh_config(tmp_path / "ssh_config", extra=f"Host *\n    RevokedHostKeys {revoked}\n")
    return str(config), revoked


@pytest.mark.parametrize("setting", ["HostKeyAlgorithms rsa-sha2-512", "KexAlgorithms diffie-hellman-group1-sha1",
                                     "Ciphers aes128-cbc"])
def test_algorithms_that_the_configuration_does_not_allow_are_not_used(lab, first, transport, tmp_path, setting):
    config = str(lab.write_ssh_config(tmp_path / "ssh_config", extra=f"Host *\n    {setting}\n"))
    answers = meet([first.name], transport=transport, ssh_config=config)
    assert kinds(answers) == {first.name: "no-common-way"}, answers


# -- keys that are new -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extra", ["", "HashKnownHosts yes", "HostKeyAlias other-name", "StrictHostKeyChecking yes"])
def test_a_new_key_is_accepted_and_noted_for_those_who_want_it(lab, first, transport, tmp_path, extra):
    config = with_known_hosts(lab, tmp_path, [], f"Host *\n    {extra}\n" if extra else "")
    known = tmp_path / "known_hosts"
    # Only ssh itself takes a last line without an end for whole.
    known.write_text("# a line" + ("" if transport == "fabric" else "\n"))
    answers = meet([first.name], transport=transport, ssh_config=config, accept_new_host_keys=True)
    assert kinds(answers) == {first.name: "up"}, answers
    assert key_lines(lab)[first.name] in known.read_text()
    assert kinds(meet([first.name], transport=transport, ssh_config=config)) == {first.name: "up"}
    assert first.ssh("true").returncode == 0
    plain = subprocess.run(["ssh", "-F", config, "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", first.name,
                            "true"], capture_output=True, text=True)
    assert plain.returncode == 0, plain.stderr


def test_a_changed_or_revoked_key_is_never_accepted(lab, first, transport, tmp_path):
    keys = key_lines(lab)
    changed = with_known_hosts(lab, tmp_path, [f"{first.address} {keys[lab.hosts[1].name]}"])
    answers = meet([first.name], transport=transport, ssh_config=changed, accept_new_host_keys=True)
    assert kinds(answers) == {first.name: "host-key-changed"}
    revoked = with_known_hosts(lab, tmp_path, [f"@revoked * {keys[first.name]}"])
    answers = meet([first.name], transport=transport, ssh_config=revoked, accept_new_host_keys=True)
    assert kinds(answers) == {first.name: "host-key-revoked"}


def test_a_new_key_of_a_management_host_is_accepted_too(lab, transport, tmp_path):
    jump, worker = lab.hosts[:2]
    config = with_known_hosts(lab, tmp_path, [])
    answers = meet([Host(worker.name, via=jump.name)], transport=transport, ssh_config=config,
                   accept_new_host_keys=True)
    assert kinds(answers) == {worker.name: "up"}, answers


@pytest.mark.parametrize("extra", ["", "Port 2222", "HostKeyAlias other", "HashKnownHosts yes"])
def test_the_advice_about_a_changed_key_works(tmp_path, extra):
    """Run as it stands, it takes the old key out of the file that it is in, under the name that it has there."""
    known = tmp_path / "known_hosts"
    name = {"Port 2222": "[10.0.0.7]:2222", "HostKeyAlias other": "other"}.get(extra, "10.0.0.7")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "old"], check=True)
    old = " ".join((tmp_path / "old.pub").read_text().split()[:2])
    known.write_text(f"{name} {old}\nsomebody-else {old}\n")
    if "Hash" in extra:
        subprocess.run(["ssh-keygen", "-q", "-H", "-f", known], check=True, capture_output=True)
    (tmp_path / "config").write_text(f"Host h\n    HostName 10.0.0.7\n    UserKnownHostsFile {known}\n    {extra}\n")
    settings = ask_ssh(split_login("h"), str(tmp_path / "config"))
    error = key_advice(Host("h"), host_error("host-key-changed", Host("h")), settings)
    advice = str(error).partition("then: ")[2].partition("; ssh h")[0]
    assert "ssh-keygen -R h" in advice and str(known) in advice
    subprocess.run(advice, shell=True, capture_output=True, check=False)
    assert known.read_text().count(old) == 1
