"""Few logins at a time at each sshd, many in all: stock limits of sshd never bite, and many hosts connect at once."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from sshjobs.model.host import Host
from sshjobs.network.handshakes import AT_ONE_SSHD, IN_ALL, Handshakes
from sshjobs.network.transport.local import LocalTransport
from sshjobs.network.transport.openssh import OpensshTransport
from tests.network.meeting import SSH, kinds, meet


class Ways(LocalTransport):
    """Knows the way to each host, and how often it was asked."""

    def __init__(self, ways: dict[str, list[str]]):
        self.ways, self.asked = ways, 0

    async def gates(self, host: Host) -> list[str]:
        self.asked += 1
        return self.ways[host.name]


def busiest(ways: dict[str, list[str]]) -> tuple[Counter[str], int, int]:
    """Return the most logins at a time at each machine, the most in all, and how often the way was asked for."""
    transport, now, most = Ways(ways), Counter[str](), Counter[str]()
    top = 0

    async def connect(handshakes: Handshakes, name: str) -> None:
        nonlocal top
        async with handshakes(Host(name)):
            now.update([*ways[name], "in all"])
            most.update({gate: now[gate] - most[gate] for gate in now if now[gate] > most[gate]})
            top = max(top, now["in all"])
            for _ in range(20):
                await asyncio.sleep(0)
            now.subtract([*ways[name], "in all"])

    async def connect_all() -> None:
        handshakes = Handshakes(lambda host: transport, lambda: len(ways))
        await asyncio.gather(*(connect(handshakes, name) for name in ways))

    asyncio.run(connect_all())
    return most, top, transport.asked


def test_hosts_behind_one_machine_go_through_it_a_few_at_a_time():
    most, top, _ = busiest({f"w{n}": ["gate"] for n in range(40)})
    assert most["gate"] == top == AT_ONE_SSHD


def test_hosts_of_their_own_connect_all_at_once():
    assert busiest({f"h{n}": [f"h{n}"] for n in range(40)})[1] == 40
    assert busiest({f"h{n}": [f"h{n}"] for n in range(200)})[1] == IN_ALL


def test_every_machine_on_the_way_is_spared():
    ways = {f"a{n}": ["one", "two"] for n in range(20)} | {f"b{n}": ["two"] for n in range(20)} | {
        f"c{n}": ["two", "one"] for n in range(20)}
    most, top, _ = busiest(ways)
    assert most["two"] <= AT_ONE_SSHD and most["one"] <= AT_ONE_SSHD and top <= 2 * AT_ONE_SSHD


def test_a_few_hosts_are_not_looked_up():
    most, _, asked = busiest({f"w{n}": ["gate"] for n in range(AT_ONE_SSHD)})
    assert (most["gate"], asked) == (AT_ONE_SSHD, 0)


def test_the_way_to_a_host_is_that_of_the_configuration(tmp_path):
    (tmp_path / "config").write_text(
        "Host plain\n    HostName 10.0.0.1\nHost jumps\n    ProxyJump u@one:22,two\n"
        "Host proxied\n    ProxyCommand nc -X 5 %h %p\nHost also-proxied\n    ProxyCommand nc -X 5 %h %p\n")
    transport = OpensshTransport(str(tmp_path / "config"))

    async def ways(*hosts: Host) -> list[list[str]]:
        return [await transport.gates(host) for host in hosts]

    found = asyncio.run(ways(Host("plain"), Host("jumps"), Host("proxied"), Host("also-proxied"),
                             Host("plain", via="u@mgmt:2222")))
    assert found == [["10.0.0.1"], ["one", "two"], found[2], found[2], ["mgmt"]]


@pytest.mark.parametrize("transport", SSH)
def test_more_hosts_behind_one_machine_than_it_takes_at_once_do_not_meet_its_limit(fresh_lab, transport, tmp_path):
    lab = fresh_lab(hosts=2)
    gate, worker = lab.hosts
    # Every login beyond the tenth that is not over would be refused.
    gate.restart_sshd(MaxStartups="10:100:10")
    worker.restart_sshd(MaxStartups="100")
    names = [f"w{n}" for n in range(13)]
    config = lab.write_ssh_config(tmp_path / "config", extra=(
        f"Host w*\n    HostName {worker.address}\n    HostKeyAlias {worker.name}\n"
        f"Host w1*\n    ProxyJump {gate.name}\n"))
    hosts = [Host(name, via=None if name.startswith("w1") else gate.name) for name in names]
    answers = meet(hosts, transport=transport, ssh_config=str(config))
    assert set(kinds(answers).values()) == {"up"}
    assert "MaxStartups" not in gate.sshd_log.read_text()
    assert worker.sshd_log.read_text().count(f"from {gate.address} port") >= len(names)
