"""The network of a lab: a bridge in a namespace of its own, a cable to every host, one to this machine."""

from __future__ import annotations

import json
import subprocess

from tests.lab.base import CUTS, LabError
from tests.lab.channel import ENVIRONMENT
from tests.lab.registry import Entry
from tests.lab.waiting import wait_until

#: Rules in the host's own network namespace. Its loopback is never touched: the host itself stays sane.
_IN = 'type filter hook input priority 0; iifname "lo" accept;'
_OUT = 'type filter hook output priority 0; oifname "lo" accept;'
_CHAINS = {
    "drop": f"chain arriving {{ {_IN} drop; }}\nchain leaving {{ {_OUT} drop; }}",
    "drop_in": f"chain arriving {{ {_IN} drop; }}",
    "drop_out": f"chain leaving {{ {_OUT} drop; }}",
    # The resets themselves have to get out.
    "reset": f"chain arriving {{ {_IN} meta l4proto tcp reject with tcp reset; drop; }}\n"
    f"chain leaving {{ {_OUT} tcp flags rst accept; meta l4proto tcp reject with tcp reset; drop; }}",
}
TABLE = "inet lab"
#: The last number of the address of host 1.
FIRST_ADDRESS = 11


def command(argv: list[str], text: str | None = None) -> str:
    """Run a tool to its end and return its output.

    :raises LabError: when it fails, with what it said.
    """
    done = subprocess.run(
        argv, input=text, stdin=None if text is not None else subprocess.DEVNULL,
        capture_output=True, text=True, env=ENVIRONMENT, cwd="/", timeout=30, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise LabError(f"{' '.join(argv)}: exit {done.returncode}: {done.stderr.strip()}\n{text or ''}")
    return done.stdout


def inside(pid: int, *namespaces: str) -> list[str]:
    """The words that put a command into namespaces of a process."""
    return ["nsenter", "--target", str(pid), *(f"--{name}" for name in namespaces), "--"]


class Switch:
    """The bridge of one lab; its port for host n is the interface ``h<n>`` in the keeper's namespace."""

    def __init__(self, keeper: int, entry: Entry) -> None:
        self._keeper = keeper
        self._entry = entry

    def connect_manager(self) -> None:
        """Give this machine the address ``.1`` on the bridge."""
        uplink = self._entry.uplink
        lines = [
            f"link add {uplink} type veth peer name uplink netns {self._keeper}",
            f"addr add {self._entry.address(1)}/24 dev {uplink}",
            f"link set {uplink} up",
        ]
        command(["ip", "-batch", "-"], "\n".join(lines) + "\n")
        self._ip(["link set uplink master br0 up"])

    def disconnect_manager(self) -> None:
        """Take this machine's interface away at once; the kernel drops namespaces only by and by."""
        subprocess.run(
            ["ip", "link", "del", self._entry.uplink], capture_output=True, env=ENVIRONMENT, check=False
        )  # fmt: skip

    def _ip(self, lines: list[str]) -> None:
        command([*inside(self._keeper, "net"), "ip", "-batch", "-"], "\n".join(lines) + "\n")

    def plug(self, hosts: dict[int, int]) -> None:
        """Give hosts, by number, with their process 1, their cable ``eth0``.

        The hardware address hangs on the number, so that nobody has to learn a new one after a reboot.
        """
        lines = []
        for number, pid in hosts.items():
            hardware = f"02:53:4a:00:{number >> 8:02x}:{number & 255:02x}"
            lines.append(f"link add h{number} type veth peer name eth0 address {hardware} netns {pid}")
            lines.append(f"link set h{number} master br0 up")
        self._ip(lines)

    def unplug(self, number: int) -> None:
        """Take the cable of a host away; it may be gone with the host already."""
        subprocess.run(
            [*inside(self._keeper, "net"), "ip", "link", "del", f"h{number}"],
            capture_output=True, env=ENVIRONMENT, check=False,
        )  # fmt: skip

    def cut(self, number: int, pid: int, kind: str) -> None:
        """Cut host ``number``, with process 1 ``pid``, off; an earlier cut of it is undone first."""
        if kind not in CUTS:
            raise ValueError(f"cut {kind!r}: not one of {', '.join(CUTS)}")
        self._let_through(number, pid)
        if kind == "down":
            self._ip([f"link set h{number} down"])
            return
        command([*inside(pid, "net"), "nft", "-f", "-"], f"table {TABLE} {{\n{_CHAINS[kind]}\n}}\n")
        if kind == "reset":
            # Ends live connections now; without it, or where it is missing, they end at their next packet.
            subprocess.run(
                [*inside(pid, "net"), "ss", "-K", "src", f"{self._entry.net}.0/24"],
                capture_output=True, env=ENVIRONMENT, check=False,
            )  # fmt: skip

    def heal(self, number: int, pid: int) -> None:
        """Let everything through again, and return when it goes through."""
        self._let_through(number, pid)
        self.await_link(number)

    def _let_through(self, number: int, pid: int) -> None:
        command([*inside(pid, "net"), "nft", "-f", "-"], f"table {TABLE}\ndelete table {TABLE}\n")
        self._ip([f"link set h{number} up"])

    def await_link(self, number: int) -> None:
        """Wait until the bridge forwards to a host, and let this machine forget that it was away."""
        wait_until(lambda: self._forwards(number), 10, f"port {number} of the bridge")
        address = self._entry.address(FIRST_ADDRESS - 1 + number)
        command(["ip", "neigh", "flush", "to", address, "dev", self._entry.uplink])

    def _forwards(self, number: int) -> bool:
        show = [*inside(self._keeper, "net"), "ip", "-j", "-d", "link", "show", f"h{number}"]
        (port,) = json.loads(command(show))
        return bool(port["linkinfo"]["info_slave_data"]["state"] == "forwarding")
