"""Hosts made of namespaces: root only, Linux only, and as real as one machine allows."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.lab import files, process
from tests.lab.base import BaseLab, HostOptions, LabError, LabHost, LabUnsupported
from tests.lab.channel import ENVIRONMENT, Channel
from tests.lab.registry import Entry, registry, release, reserve, sweep
from tests.lab.switch import FIRST_ADDRESS, Switch, command, inside

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
ALL_NAMESPACES = ("mount", "net", "pid", "uts")
FILLER = ".filler"


class NamespaceHost(LabHost):
    """A host with network, mount, pid and uts namespaces of its own and a process 1 (init.py)."""

    def __init__(self, lab: Lab, number: int, options: HostOptions) -> None:
        self.name = f"node{number:02d}"
        self.number = number
        self.options = options
        self.address = lab.entry.address(FIRST_ADDRESS - 1 + number)
        self.port = 22
        self.user = files.USER
        self.base = lab.base / self.name
        self.sshd_log = self.base / "sshd.log"
        self.ssh_config = lab.ssh_config
        self.home = self.base / "home"
        self._lab = lab
        self._channel: Channel | None = None
        self._init = 0
        self._cut: str | None = None
        self._programs: dict[str, dict[str, str] | None] = {}
        self._python_prefix = ""
        self._pin_python(options.python)

    @property
    def init_pid(self) -> int:
        """Process 1 of the host, as a pid from here.

        :raises LabError: when the host is switched off.
        """
        if self._channel is None:
            raise LabError(f"{self.name} is switched off")
        return self._init

    def _pin_python(self, python: str | None) -> None:
        if python is None and shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin") is None:
            python = os.path.realpath(sys.executable)
        if python == "":
            self._programs["python*"] = None
        elif python is not None:
            real = Path(python).resolve()
            self._python_prefix = str(real.parents[1])
            self._programs["python3"] = {"link": str(real)}

    def prepare(self) -> None:
        """Write the host's files, once; its key pair is there already."""
        lab = self._lab
        files.make_home(self.home)
        if self.options.home_size is not None:
            mode = f"size={self.options.home_size},mode=700,uid={files.USER_ID},gid={files.USER_ID}"
            self._mount_home(["-t", "tmpfs", "-o", mode, "tmpfs"])
        elif lab.shared_home is not None:
            self._mount_home(["--bind", str(lab.shared_home)])
        addresses = {host.name: host.address for host in lab.hosts}
        files.write_host_files(self.base, self.name, addresses, lab.key, self.options.shell, self.options.others)
        self._write_sshd_config({})

    def _mount_home(self, what: list[str]) -> None:
        """Mount over the home where only the keeper and the host see it: it cannot outlive the lab."""
        keeper = self._lab.keeper.process.pid
        command([*inside(keeper, "mount"), "mount", *what, str(self.home)])
        self.home = Path(f"/proc/{keeper}/root{self.home}")

    def _write_sshd_config(self, settings: Mapping[str, str]) -> None:
        own = {
            **self.options.sshd,
            "HostKey": f"/etc/ssh/{files.HOST_KEY}",
            "AuthorizedKeysFile": "/etc/ssh/authorized_keys",
        }
        files.write_sshd_config(self.base / "ssh" / "sshd_config", own, settings)

    def spawn(self) -> None:
        """Start process 1 in namespaces of its own; it does nothing yet."""
        flags = [f"--{name}" for name in ALL_NAMESPACES]
        mark = str(registry() / self._lab.entry.tag / self.name)
        init = [sys.executable, "-I", "-S", str(HERE / "init.py"), mark]
        enter = inside(self._lab.keeper.process.pid, "mount")
        argv = [*enter, "unshare", *flags, "--fork", "--kill-child", *init]
        self._channel = Channel(argv, self.base / "init.log")

    def meet(self) -> int:
        """Wait until process 1 runs and return its pid."""
        assert self._channel is not None
        self._init = int(self._channel.receive()["pid"])
        return self._init

    def begin_boot(self) -> None:
        """Let process 1 boot; its cable is there."""
        assert self._channel is not None
        if self._cut is not None:
            self._lab.switch.cut(self.number, self._init, self._cut)
        network = f"link set lo up\nlink set eth0 up\naddr add {self.address}/24 dev eth0\n"
        self._channel.send(
            {
                "do": "boot", "name": self.name, "base": str(self.base), "network": network,
                "home": files.HOME, "others": self.options.others, "hidden": [str(REPOSITORY)],
                "python_prefix": self._python_prefix,
                **self._order(),
            }
        )  # fmt: skip

    def end_boot(self) -> None:
        """Wait until sshd listens and can be reached."""
        assert self._channel is not None
        self._channel.receive()
        if self._cut != "down":
            self._lab.switch.await_link(self.number)

    def _order(self) -> dict[str, Any]:
        return {"programs": self._programs, "sshd": sshd_path(), "port": self.port}

    def _ask(self, do: str, **more: Any) -> None:
        if self._channel is not None:
            self._channel.ask({"do": do, **self._order(), **more})

    def power_off(self) -> None:
        with self._lab.lock:
            if self._channel is None:
                return
            # A stopped process dies of SIGKILL too; unshare ends only when all of the namespace is dead.
            # Until then the pid is its child's, so it cannot be somebody else's.
            if self._channel.process.poll() is None and self._init:
                os.kill(self._init, signal.SIGKILL)
            self._channel.close()
            self._channel, self._init = None, 0
            self._lab.switch.unplug(self.number)

    def power_on(self, *, keep_boot_id: bool = False) -> None:
        with self._lab.lock:
            if self._channel is not None:
                return
            if not keep_boot_id:
                files.new_boot_id(self.base)
            self.spawn()
            self._lab.switch.plug({self.number: self.meet()})
            self.begin_boot()
            self.end_boot()

    def reboot(self, *, keep_boot_id: bool = False) -> None:
        self.power_off()
        self.power_on(keep_boot_id=keep_boot_id)

    def run(
        self, argv: Sequence[str], *, user: str = "root", input: str | None = None, timeout: float = 30.0
    ) -> subprocess.CompletedProcess[str]:
        login, home = [], "/root"
        if user in (files.USER, *self.options.others):
            number = str(files.user_id(user, self.options.others))
            login, home = ["--setuid", number, "--setgid", number], f"/home/{user}"
        enter = [*inside(self.init_pid, *ALL_NAMESPACES)[:-1], *login, "--"]
        clean = ["env", "-i", f"--chdir={home}", f"HOME={home}", f"USER={user}", f"LOGNAME={user}"]
        told = [*clean, *(f"{key}={value}" for key, value in ENVIRONMENT.items())]
        child = subprocess.Popen(
            [*enter, *told, *argv], stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, cwd="/",
        )  # fmt: skip
        try:
            out, err = child.communicate(input, timeout)
        except subprocess.TimeoutExpired:
            # nsenter passes nothing on: what it started in the host has to be ended by itself.
            process.kill_all(process.children(child.pid))
            child.kill()
            child.communicate()
            raise
        return subprocess.CompletedProcess(list(argv), child.returncode, out, err)

    def processes(self) -> list[process.Process]:
        if self._channel is None:
            return []
        return list(process.in_namespace(os.readlink(f"/proc/{self._init}/ns/pid")))

    def home_of(self, user: str) -> Path:
        return self.base / "homes" / user if user in self.options.others else super().home_of(user)

    def path(self, path: str) -> Path:
        return Path(f"/proc/{self.init_pid}/root{path}")

    def cut(self, kind: str = "drop") -> None:
        with self._lab.lock:
            if self._channel is not None:
                self._lab.switch.cut(self.number, self._init, kind)
            self._cut = kind

    def heal(self) -> None:
        with self._lab.lock:
            if self._channel is not None:
                self._lab.switch.heal(self.number, self._init)
            self._cut = None

    def restart_sshd(self, *, drop_sessions: bool = False, **options: str) -> None:
        self._write_sshd_config(options)
        self._ask("restart_sshd", drop_sessions=drop_sessions)

    def new_host_key(self) -> None:
        files.make_keys({self.base / "ssh" / files.HOST_KEY: self.name})
        self._ask("restart_sshd")

    def set_shell(self, path: str) -> None:
        files.write_passwd(self.base, path, self.options.others)

    def replace_program(self, name: str, text: str | None) -> None:
        self._programs[name] = None if text is None else {"text": text}
        self._ask("programs")

    def restore_programs(self) -> None:
        self._programs = {}
        self._pin_python(self.options.python)
        self._ask("programs")

    def fill_disk(self) -> None:
        if self.options.home_size is None:
            super().fill_disk()
        with open(self.home / FILLER, "ab", buffering=0) as filler:
            for size in (1 << 20, 1 << 12, 1):
                try:
                    while True:
                        filler.write(bytes(size))
                except OSError:
                    continue  # Full for pieces of this size.

    def free_disk(self) -> None:
        if self.options.home_size is None:
            super().free_disk()
        (self.home / FILLER).unlink(missing_ok=True)


class Lab(BaseLab):
    """``with Lab(hosts=4) as lab:`` — hosts ``node01`` … that only this machine and each other can reach.

    Whatever ends this process, also SIGKILL, ends the hosts: they live on a pipe from it. What files
    that may leave is removed by the next lab.

    :param base_dir: where the lab makes its directory; None: under /tmp.
    :param options: how every host is made; ``each`` has exceptions by name.
    :param shared_home: one home for all hosts, as with NFS.
    """

    def __init__(
        self,
        hosts: int = 4,
        base_dir: Path | None = None,
        *,
        options: HostOptions | None = None,
        each: Mapping[str, HostOptions] | None = None,
        shared_home: bool = False,
    ) -> None:
        why = why_unsupported()
        if why is not None:
            raise LabUnsupported(f"no hosts made of namespaces here: {why}")
        self.lock = threading.RLock()
        self.keeper: Channel
        self.switch: Switch
        self._count = hosts
        self._base_dir = base_dir
        self._options = options or HostOptions()
        self._each = each or {}
        self._share = shared_home
        self.shared_home: Path | None = None
        self._open = False

    def start(self) -> None:
        sweep()
        self.entry: Entry = reserve(self._base_dir)
        self.base = self.entry.base
        self._open = True
        self._made = [
            NamespaceHost(self, number, self._each.get(f"node{number:02d}", self._options))
            for number in range(1, self._count + 1)
        ]
        self.hosts = list(self._made)
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        keys = {self.key: "lab"}
        for host in self._made:
            (host.base / "ssh").mkdir(parents=True)
            keys[host.base / "ssh" / files.HOST_KEY] = host.name
        entry = registry() / self.entry.tag
        script = [sys.executable, "-I", "-S", str(HERE / "keeper.py"), str(entry), str(self.base)]
        self.keeper = Channel(["unshare", "--net", "--mount", *script], self.base / "keeper.log")
        self.switch = Switch(self.keeper.process.pid, self.entry)
        files.make_keys(keys)
        self.keeper.read_line()
        if self._share:
            self.shared_home = self.base / "shared-home"
            files.make_home(self.shared_home)
        for host in self._made:
            host.prepare()
            host.spawn()
        self.switch.connect_manager()
        self.switch.plug({host.number: host.meet() for host in self._made})
        for host in self._made:
            host.begin_boot()
        for host in self._made:
            host.end_boot()
        self.write_client_files(
            {host.name: files.public_key(host.base / "ssh" / files.HOST_KEY) for host in self._made}
        )

    def close(self) -> None:
        with self.lock:
            if not self._open:
                return
            self._open = False
            if hasattr(self, "keeper"):
                self.switch.disconnect_manager()
                for host in self._made:
                    host.power_off()
                self.keeper.close()
            release(self.entry.tag)

    def __enter__(self) -> Lab:
        self.start()
        return self


def sshd_path() -> str | None:
    """Where sshd is; it insists on being started by its full path."""
    return shutil.which("sshd", path=ENVIRONMENT["PATH"])


def why_unsupported() -> str | None:
    """Why hosts cannot be made of namespaces here, or None when they can."""
    if os.geteuid() != 0:
        return "not root"
    for tool in ("ip", "nft", "unshare", "nsenter", "ssh-keygen", "ssh"):
        if shutil.which(tool, path=ENVIRONMENT["PATH"]) is None:
            return f"{tool} is not installed"
    if sshd_path() is None:
        return "sshd is not installed"
    flags = [f"--{name}" for name in ALL_NAMESPACES]
    tried = subprocess.run(
        ["unshare", *flags, "--fork", "true"], capture_output=True, text=True, env=ENVIRONMENT, check=False
    )  # fmt: skip
    return None if tried.returncode == 0 else tried.stderr.strip()
