"""Hosts that are only sshd processes of the present user on loopback addresses: for machines without root.

They share everything with this machine but their home, port and keys, and where runs agree on what each holds. What they cannot do raises
:class:`LabUnsupported`.
"""

from __future__ import annotations

import os
import pwd
import shlex
import signal
import socket
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.lab import files, process
from tests.lab.base import BaseLab, HostOptions, LabError, LabHost, LabUnsupported
from tests.lab.channel import ENVIRONMENT
from tests.lab.namespaces import sshd_path
from tests.lab.registry import release, reserve, sweep
from tests.lab.waiting import wait_until

#: In the environment of everything that a host runs.
TOKEN = "SSHJOBS_LAB_HOST"
#: sshd goes to the home that passwd names and asks nobody; this goes where HOME points.
FORCED = (
    'cd "$HOME" && if [ -n "$SSH_ORIGINAL_COMMAND" ]; then exec "$SHELL" -c "$SSH_ORIGINAL_COMMAND"; fi; '
    'exec "$SHELL" -l'
)


class LoopbackHost(LabHost):
    """An sshd of the present user at an address 127.x.y.z, with a home of its own."""

    def __init__(self, lab: LoopbackLab, number: int, options: HostOptions) -> None:
        if options.home_size is not None or options.python is not None:
            raise LabUnsupported("a host on loopback has neither a disk nor a python of its own")
        self.name = f"node{number:02d}"
        self.options = options
        net = lab.entry.net.split(".")
        self.address = f"127.{int(net[1])}.{int(net[2])}.{number}"
        self.user = pwd.getpwuid(os.geteuid()).pw_name
        self.base = lab.base / self.name
        self.home = self.base / "home"
        self.sshd_log = self.base / "sshd.log"
        self.ssh_config = lab.ssh_config
        self._lab = lab
        self._token = f"{lab.entry.tag}/{self.name}"
        self._sshd: subprocess.Popen[bytes] | None = None
        self.home.mkdir(mode=0o700, parents=True)
        (self.base / "ssh").mkdir()
        with socket.socket() as probe:
            probe.bind((self.address, 0))
            self.port = probe.getsockname()[1]

    @property
    def host_key(self) -> Path:
        return self.base / "ssh" / files.HOST_KEY

    def _environment(self) -> dict[str, str]:
        return {"HOME": str(self.home), TOKEN: self._token, "SSHJOBS_SHARED": str(self.base / "shared")}

    def write_settings(self, settings: Mapping[str, str]) -> None:
        """Write sshd_config, with ``settings`` over the stock ones."""
        set_environment = " ".join(f'"{key}={value}"' for key, value in self._environment().items())
        own = {
            **self.options.sshd,
            "ListenAddress": self.address,
            "Port": str(self.port),
            "HostKey": str(self.host_key),
            "AuthorizedKeysFile": str(self.base / "ssh" / "authorized_keys"),
            "PidFile": "none",
            "StrictModes": "no",
            "UsePAM": "no",
            "SetEnv": set_environment,
            "ForceCommand": FORCED,
        }
        (self.base / "ssh" / "authorized_keys").write_text(files.public_key(self._lab.key) + "\n")
        files.write_sshd_config(self.base / "ssh" / "sshd_config", own, settings)

    def power_on(self, *, keep_boot_id: bool = True) -> None:
        if not keep_boot_id:
            raise LabUnsupported(f"{self.name}: has the boot id of this machine")
        if self._sshd is not None:
            return
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # As sshd's own start script does.
        argv = [sshd_path() or "sshd", "-D", "-e", "-f", str(self.base / "ssh" / "sshd_config")]
        with open(self.sshd_log, "ab") as log:
            self._sshd = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={**ENVIRONMENT, TOKEN: self._token}, cwd="/",
            )  # fmt: skip
        wait_until(self._listens, 20, lambda: f"sshd of {self.name}: {self.sshd_log.read_text()[-2000:]}")

    def _listens(self) -> bool:
        assert self._sshd is not None
        if self._sshd.poll() is not None:
            raise LabError(f"sshd of {self.name} ended: {self.sshd_log.read_text()[-2000:]}")
        a, b, c, d = (int(part) for part in self.address.split("."))
        here = f" {d:02X}{c:02X}{b:02X}{a:02X}:{self.port:04X} 00000000:0000 0A "
        return here in Path("/proc/net/tcp").read_text()

    def power_off(self) -> None:
        if self._sshd is None:
            return
        self._sshd.kill()
        self._sshd.wait()
        self._sshd = None
        wait_until(self._kill_all, 20, f"the end of all processes of {self.name}")

    def _kill_all(self) -> bool:
        living = [p for p in self.processes() if p.state not in "ZX"]
        for found in living:
            try:
                os.kill(found.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue  # It ended on its own.
        return not living

    def reboot(self, *, keep_boot_id: bool = True) -> None:
        if not keep_boot_id:
            raise LabUnsupported(f"{self.name}: has the boot id of this machine")
        self.power_off()
        self.power_on()

    def restart_sshd(self, *, drop_sessions: bool = False, **options: str) -> None:
        self.write_settings(options)
        if drop_sessions:
            raise LabUnsupported(f"{self.name}: sessions end with all else, by power_off")
        if self._sshd is not None:
            self._sshd.terminate()
            self._sshd.wait()
            self._sshd = None
            self.power_on()

    def new_host_key(self) -> None:
        files.make_keys({self.host_key: self.name})
        self.restart_sshd()

    def run(
        self, argv: Sequence[str], *, user: str = "root", input: str | None = None, timeout: float = 30.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the host's home, always as the present user."""
        return subprocess.run(
            list(argv),
            input="" if input is None else input,
            cwd=self.home,
            env={**ENVIRONMENT, **self._environment()},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def processes(self) -> list[process.Process]:
        """What runs with the host's mark in its environment; root's part of an sshd session has none."""
        mark = f"{TOKEN}={self._token}"
        found = (process.read_process(pid) for pid in process.all_pids())
        return [p for p in found if p is not None and mark in p.environ]

    def path(self, path: str) -> Path:
        if not Path(path).is_relative_to(self.home):
            raise LabUnsupported(f"{self.name}: only its home is its own, not {shlex.quote(path)}")
        return Path(path)


class LoopbackLab(BaseLab):
    """``with LoopbackLab(hosts=2) as lab:`` — a lab for any user; its hosts lack what needs root."""

    def __init__(
        self, hosts: int = 4, base_dir: Path | None = None, *, options: HostOptions | None = None
    ) -> None:
        if sshd_path() is None:
            raise LabUnsupported("no hosts on loopback here: sshd is not installed")
        self.lock = threading.RLock()
        self.hosts = []
        self._count = hosts
        self._base_dir = base_dir
        self._options = options or HostOptions()
        self._open = False

    def start(self) -> None:
        sweep()
        self.entry = reserve(self._base_dir)
        self.base = self.entry.base
        self._open = True
        try:
            made = [LoopbackHost(self, number, self._options) for number in range(1, self._count + 1)]
            files.make_keys({self.key: "lab", **{host.host_key: host.name for host in made}})
            self.hosts = list(made)
            for host in made:
                host.write_settings({})
                host.power_on()
            self.write_client_files({host.name: files.public_key(host.host_key) for host in made})
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._open:
            self._open = False
            for host in self.hosts:
                host.power_off()
            release(self.entry.tag)

    def __enter__(self) -> LoopbackLab:
        self.start()
        return self
