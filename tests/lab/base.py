"""What every lab offers, however its hosts are made."""

from __future__ import annotations

import abc
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from tests.lab.process import Process

#: Ways to cut a host off: its cable pulled; packets swallowed both ways, on the way in, on the way out;
#: connections refused and broken by a TCP reset.
CUTS = ("down", "drop", "drop_in", "drop_out", "reset")

#: A stock sshd: what a distribution ships, and the limits that upstream ships.
STOCK_SSHD: Mapping[str, str] = {
    "MaxStartups": "10:30:100",
    "MaxSessions": "10",
    "KbdInteractiveAuthentication": "no",
    "UsePAM": "yes",
    "X11Forwarding": "yes",
    "PrintMotd": "no",
    "AcceptEnv": "LANG LC_*",
    "Subsystem": "sftp /usr/lib/openssh/sftp-server",
}


class LabError(RuntimeError):
    """The lab could not be built, or a host of it did not do what it was told."""


class LabUnsupported(LabError):
    """This kind of lab cannot do that."""


@dataclass(frozen=True)
class HostOptions:
    """How one host is made.

    :ivar home_size: size of the user's home, a tmpfs of its own (``"8M"``); None: on the lab's disk.
    :ivar python: an interpreter that takes the place of ``python3`` on the host; ``""``: it has none.
    :ivar sshd: settings of sshd_config that come before the stock ones.
    :ivar shell: login shell of the user.
    :ivar others: names of further users, whom the same key lets in.
    """

    home_size: str | None = None
    python: str | None = None
    sshd: Mapping[str, str] = field(default_factory=dict)
    shell: str = "/bin/bash"
    others: tuple[str, ...] = ()


class LabHost(abc.ABC):
    """One host of a lab.

    ``name`` is also its alias in the lab's ssh_config. ``home`` is the home of the login user as seen
    from here. ``sshd_log`` is a file with what sshd said since the lab was made.
    """

    name: str
    address: str
    port: int
    user: str
    home: Path
    ssh_config: Path
    sshd_log: Path

    @abc.abstractmethod
    def run(
        self, argv: Sequence[str], *, user: str = "root", input: str | None = None, timeout: float = 30.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on the host without ssh; it works while the host is cut off."""

    @abc.abstractmethod
    def processes(self) -> list[Process]:
        """What runs on the host, zombies too."""

    @abc.abstractmethod
    def reboot(self, *, keep_boot_id: bool = False) -> None:
        """Power off, power on: every process dies at once, home, keys and settings stay."""

    @abc.abstractmethod
    def power_off(self) -> None:
        """Kill everything at once, without a farewell to anybody; nothing happens when it is off."""

    @abc.abstractmethod
    def power_on(self, *, keep_boot_id: bool = False) -> None:
        """Start the host and wait until its sshd listens; nothing happens when it is on."""

    @abc.abstractmethod
    def restart_sshd(self, *, drop_sessions: bool = False, **options: str) -> None:
        """Start sshd anew with these settings over the stock ones; live sessions stay unless dropped."""

    @abc.abstractmethod
    def new_host_key(self) -> None:
        """Give the host another key. The known_hosts file keeps the old one: the host looks forged."""

    def pids_with(self, token: str) -> list[int]:
        """Live processes of the host with ``token`` in environment or arguments, as pids from here."""
        return [p.pid for p in self.processes() if p.state not in "ZX" and p.carries(token)]

    def ssh(
        self, *command: str, user: str | None = None, input: str | None = None, timeout: float = 30.0
    ) -> subprocess.CompletedProcess[str]:
        """Run ``ssh host command`` as anybody would; never asks anything."""
        login = [] if user is None else ["-l", user]
        return subprocess.run(
            ["ssh", "-F", str(self.ssh_config), "-o", "BatchMode=yes", *login, self.name, *command],
            input="" if input is None else input,
            capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip

    def cut(self, kind: str = "drop") -> None:
        """Cut the host off in one of the ways of :data:`CUTS`, until :meth:`heal`, over reboots too."""
        raise LabUnsupported(f"{self.name}: no network of its own to cut ({kind})")

    def heal(self) -> None:
        """Undo :meth:`cut`; nothing happens when the host is not cut off."""
        raise LabUnsupported(f"{self.name}: no network of its own to heal")

    def set_shell(self, path: str) -> None:
        """Change the login shell of the user."""
        raise LabUnsupported(f"{self.name}: has no users of its own, so no shell {path}")

    def replace_program(self, name: str, text: str | None) -> None:
        """Put the script ``text`` in the place of a program (a glob of names) in /usr/bin; None: none."""
        raise LabUnsupported(f"{self.name}: has no /usr/bin of its own to replace {name} in ({text!r})")

    def restore_programs(self) -> None:
        """Undo every :meth:`replace_program` and :meth:`break_python`."""
        raise LabUnsupported(f"{self.name}: has no /usr/bin of its own")

    def break_python(self) -> None:
        """From now on no ``python3`` is found on the host."""
        self.replace_program("python*", None)

    def fill_disk(self) -> None:
        """Leave no free byte in the home; needs a host made with ``home_size``."""
        raise LabUnsupported(f"{self.name}: its home has no size of its own, filling it would fill your disk")

    def free_disk(self) -> None:
        """Undo :meth:`fill_disk`."""
        raise LabUnsupported(f"{self.name}: its home has no size of its own")

    def home_of(self, user: str) -> Path:
        """The home of a user as seen from here."""
        if user == self.user:
            return self.home
        raise LabUnsupported(f"{self.name}: has no user {user}")

    def path(self, path: str) -> Path:
        """A path of the host as seen from here; valid until the host is switched off."""
        raise LabUnsupported(f"{self.name}: has no files of its own at {path}")


class BaseLab(abc.ABC):
    """Some hosts and what a client needs to reach them: ssh_config, known_hosts and a key."""

    hosts: list[LabHost]
    base: Path
    #: No two threads change the lab at once.
    lock: threading.RLock

    @property
    def ssh_config(self) -> Path:
        """The client's configuration; names every host of the lab and touches nothing of the user's."""
        return self.base / "ssh_config"

    @property
    def known_hosts(self) -> Path:
        """The true host keys, by name and by address."""
        return self.base / "known_hosts"

    @property
    def key(self) -> Path:
        """The private key that every host lets in."""
        return self.base / "id_ed25519"

    @property
    def names(self) -> list[str]:
        return [host.name for host in self.hosts]

    def host(self, name: str) -> LabHost:
        """:raises KeyError: when there is no host of that name."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise KeyError(name)

    @abc.abstractmethod
    def start(self) -> None:
        """Make the hosts and wait until every sshd listens."""

    @abc.abstractmethod
    def close(self) -> None:
        """Leave nothing behind: no process, mount, namespace, interface, rule or file. May be repeated."""

    def write_ssh_config(
        self, path: Path, overrides: Mapping[str, Mapping[str, str]] | None = None, extra: str = ""
    ) -> Path:
        """Write a client configuration to ``path`` and return it.

        :param overrides: settings per host name, put before the lab's own. A host that is sent
            elsewhere (``HostName``, ``Port``) is still checked against its own key.
        :param extra: text for the top of the file, before every host.
        """
        overrides = overrides or {}
        blocks = [extra] if extra else []
        for host in self.hosts:
            own = {"HostName": host.address, "Port": str(host.port), "User": host.user}
            changed = dict(overrides.get(host.name, {}))
            if {"HostName", "Port"} & changed.keys():
                changed.setdefault("HostKeyAlias", host.name)
            settings = {**own, **changed}
            lines = [f"Host {host.name}", *(f"    {key} {value}" for key, value in settings.items())]
            blocks.append("\n".join(lines))
        common = {
            "IdentityFile": self.key,
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "UserKnownHostsFile": self.known_hosts,
            "GlobalKnownHostsFile": "/dev/null",
        }
        blocks.append("\n".join(["Host *", *(f"    {key} {value}" for key, value in common.items())]))
        path.write_text("\n\n".join(blocks) + "\n")
        return path

    def write_client_files(self, public_keys: Mapping[str, str]) -> None:
        """Write known_hosts from ``public_keys`` (host name to key) and the lab's ssh_config."""
        lines = []
        for host in self.hosts:
            address = host.address if host.port == 22 else f"[{host.address}]:{host.port}"
            lines.append(f"{host.name},{address} {public_keys[host.name]}\n")
        self.known_hosts.write_text("".join(lines))
        self.write_ssh_config(self.ssh_config)

    def __enter__(self) -> BaseLab:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
