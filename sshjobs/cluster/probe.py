"""What is asked of a host before anything of an engine cluster is started there."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from sshjobs.model.host import Host
from sshjobs.model.spec import JobSpec

#: Job names begin with it.
STEM = "probe"
#: Runs on any Python 3, so that one that is too old is told of by its version. Says nothing else on standard output.
_CODE = """
import json, os, sys, socket
from importlib.util import find_spec
modules, ports = json.loads(sys.argv[1])
sockets = [socket.socket() for _ in range(ports)]
for one in sockets:
    one.bind(("", 0))
print(json.dumps({
    "python": "%d.%d" % sys.version_info[:2],
    "missing": [name for name in modules if find_spec(name) is None],
    "ports": [one.getsockname()[1] for one in sockets],
    "connection": os.environ.get("SSH_CONNECTION", ""),
    "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
}))
"""


@dataclass(frozen=True)
class Probed:
    """What a host told.

    :ivar here: its address on the connection that we came in by, ``None`` where it is this machine
    :ivar there: the address that we had on it
    :ivar ports: ports that were free
    """

    python: str
    missing: tuple[str, ...]
    ports: tuple[int, ...]
    cores: int
    here: str | None
    there: str | None

    @classmethod
    def read(cls, text: str) -> Probed | None:
        """Return what a host has written, ``None`` where it is none of that."""
        try:
            told = json.loads(text.strip().splitlines()[-1])
            connection = str(told["connection"]).split()
            there, here = (_address(connection, n) for n in (0, 2))
            return cls(str(told["python"])[:20], tuple(str(one)[:40] for one in told["missing"]),
                       tuple(int(port) for port in told["ports"]), max(1, int(told["cores"])), here, there)
        except (ValueError, KeyError, TypeError, IndexError, RecursionError):
            return None


def python_of(host: Host, given: str | None) -> str:
    """Return the interpreter that an engine cluster uses on a host.

    :param given: what ``--remote-python`` says; the host's own line counts more
    """
    return host.python or given or (sys.executable if host.local else "python3")


def probe_spec(name: str, host: str, python: str, modules: Sequence[str], ports: int) -> JobSpec:
    """Return the job that asks a host."""
    return JobSpec(argv=[python, "-c", _CODE, json.dumps([list(modules), ports])], name=name, hosts=[host])


def unfit(told: Probed, python: str, libraries: Mapping[str, str]) -> str | None:
    """Return why a host cannot take part, with what to do about it; ``None`` where it can."""
    ours = "{}.{}".format(*sys.version_info[:2])
    if told.python != ours:
        return (f"{python} there is Python {told.python}, and functions from here need {ours}; name one by "
                "--remote-python, or by python= in the hosts file")
    missing = [libraries[name] for name in told.missing if name in libraries]
    if missing:
        return (f"{' and '.join(missing)} is not installed for {python}; there: {python} -m pip install "
                f"{' '.join(missing)}")
    return None


def _address(connection: Sequence[str], place: int) -> str | None:
    """Return an address from what sshd says of a connection; ``None`` where there was none."""
    return str(ip_address(connection[place].partition("%")[0])) if connection else None
