"""The probe of a host before anything of an engine cluster is started there."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from sshjobs.model.host import Host
from sshjobs.model.spec import JobSpec

#: Names of probe jobs begin with this.
STEM = "probe"
#: Runs on any Python 3, so that a Python that is too old can be reported with its version. Nothing else may be written
#: to standard output.
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

    :ivar here: its address on the connection by which we reached it; ``None`` where it is this machine
    :ivar there: our address on that connection
    :ivar ports: ports that were free on it
    """

    python: str
    missing: tuple[str, ...]
    ports: tuple[int, ...]
    cores: int
    here: str | None
    there: str | None

    @classmethod
    def read(cls, text: str) -> Probed | None:
        """Parse what a probe has written; ``None`` where it is something else."""
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

    :param given: the value of ``--remote-python``; the host's own line takes precedence
    """
    return host.python or given or (sys.executable if host.local else "python3")


def probe_spec(name: str, host: str, python: str, modules: Sequence[str], ports: int) -> JobSpec:
    """Return the job that probes a host."""
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
    """Return an address from the words of ``SSH_CONNECTION``; ``None`` where there was no connection."""
    return str(ip_address(connection[place].partition("%")[0])) if connection else None
