"""A cluster of Slurm on this machine: munge, slurmctld and a slurmd for each node, real ones, all on loopback.

The nodes share this machine, its files and its users, as nodes of many clusters share files and users.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from tests.lab.waiting import wait_until
from tests.ports import free_ports

#: Where distributions put what only root starts.
_PATH = f"{os.environ.get('PATH', '/usr/bin')}:/usr/sbin:/sbin"
_CONF = """\
ClusterName=lab
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={base}/munge.sock
CredType=cred/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
KillWait=2
MessageTimeout=3
SlurmctldPort={port}
StateSaveLocation={base}/state
SlurmdSpoolDir={base}/spool-%n
SlurmdPidFile={base}/%n.pid
SlurmctldPidFile={base}/slurmctld.pid
SlurmdLogFile={base}/%n.log
SlurmctldLogFile={base}/slurmctld.log
{nodes}
PartitionName=main Nodes=ALL Default=YES State=UP
PartitionName=short Nodes=ALL MaxTime=5 State=UP
PartitionName=closed Nodes=ALL AllowAccounts=nobody State=UP
"""


class SlurmCluster:
    """See the module.

    :param nodes: how many; they are called n1, n2 …
    :param cpus: of each
    """

    def __init__(self, nodes: int = 2, cpus: int = 4):
        self.names = [f"n{number}" for number in range(1, nodes + 1)]
        self._directory = tempfile.TemporaryDirectory(prefix="sshjobs-slurm-", dir="/var/tmp")
        self.base = Path(self._directory.name)
        self.base.chmod(0o755)
        self.conf = self.base / "slurm.conf"
        self._cpus = cpus
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def environment(self) -> Mapping[str, str]:
        """What Slurm's programs need to find it."""
        return {"SLURM_CONF": str(self.conf)}

    def start(self) -> None:
        """Start everything and wait until its nodes can be used."""
        host = socket.gethostname().partition(".")[0]
        port, *ports = free_ports(1 + len(self.names))
        nodes = "\n".join(f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={one} CPUs={self._cpus}"
                          for name, one in zip(self.names, ports, strict=True))
        self.conf.write_text(_CONF.format(host=host, base=self.base, port=port, nodes=nodes))
        for name in ("state", *(f"spool-{name}" for name in self.names)):
            (self.base / name).mkdir()
        key = self.base / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        self._start("munged", "--foreground", "--force", f"--key-file={key}", f"--socket={self.base}/munge.sock",
                    f"--pid-file={self.base}/munged.pid", f"--log-file={self.base}/munged.log",
                    f"--seed-file={self.base}/munged.seed")
        wait_until((self.base / "munge.sock").exists, 20, "munged")
        self.start_controller()
        for name in self.names:
            self.start_node(name)
        wait_until(self.is_idle, 30, self._logs)

    def start_node(self, name: str) -> None:
        """Start the slurmd of a node, for the first time or again."""
        self._start("slurmd", "-D", "-N", name, "-f", str(self.conf), called=name)

    def stop_node(self, name: str) -> None:
        """Cut a node off: its slurmd is killed, and what runs there goes on."""
        self._stop(name)

    def start_controller(self, *, forgetful: bool = False) -> None:
        """Start slurmctld, for the first time or again.

        :param forgetful: it knows nothing of any job, as it does some minutes after they have ended
        """
        self._start("slurmctld", "-D", "-f", str(self.conf), *(["-c"] if forgetful else []))

    def stop_controller(self) -> None:
        """Kill slurmctld. What it knows is kept; what runs goes on."""
        self._stop("slurmctld")

    def call(self, *words: str) -> str:
        """Return what a program of Slurm says; fails where it fails."""
        told = subprocess.run(words, env={**os.environ, **self.environment}, stdin=subprocess.DEVNULL, timeout=30,
                              capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stderr
        return told.stdout

    def jobs(self, states: str = "pending,running,suspended,completing", *, form: str = "%i %T %j") -> list[str]:
        """Return a line for each job of Slurm in such a state."""
        return self.call("squeue", "--noheader", f"--states={states}", f"--format={form}").splitlines()

    def is_idle(self) -> bool:
        """Tell whether all nodes answer and have nothing to do."""
        told = subprocess.run(["sinfo", "--noheader", "--Node", "--partition=main", "--format=%T"], timeout=30, text=True,
                              env={**os.environ, **self.environment}, capture_output=True, check=False).stdout
        return told.split() == ["idle"] * len(self.names)

    def _logs(self) -> str:
        return "\n".join(f"{path.name}: {path.read_text(errors='replace')[-1500:]}" for path in self.base.glob("*.log"))

    def _start(self, *words: str, called: str | None = None) -> None:
        with open(self.base / f"{called or words[0]}.out", "ab") as out:
            # What a node runs does not depend on how nice the tests are.
            self._processes[called or words[0]] = subprocess.Popen(
                ["nice", "-n", str(-os.nice(0)), *words], stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, cwd="/",
                env={**os.environ, **self.environment, "PATH": _PATH})

    def _stop(self, name: str) -> None:
        process = self._processes.pop(name)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def close(self) -> None:
        """End everything that runs in it and itself."""
        with ExitStack() as stack:
            stack.callback(self._directory.cleanup)
            for name in ("munged", "slurmctld", *self.names):
                if name in self._processes:
                    stack.callback(self._stop, name)
            if "slurmctld" in self._processes:
                subprocess.run(["scancel", "--me"], env={**os.environ, **self.environment}, timeout=30, check=False)
                wait_until(lambda: not self.jobs(), 30, lambda: str(self.jobs()))

    def __enter__(self) -> SlurmCluster:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self.close()
