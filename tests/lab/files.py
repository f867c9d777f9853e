"""Files of the lab's hosts: users, keys, identities, settings of sshd."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.lab.base import STOCK_SSHD, LabError
from tests.lab.channel import ENVIRONMENT

USER = "lab"
USER_ID = 20000
HOME = f"/home/{USER}"
HOST_KEY = "ssh_host_ed25519_key"
SFTP_SERVERS = tuple(f"/usr/{place}/sftp-server" for place in ("lib/openssh", "libexec/openssh", "lib/ssh"))


def make_keys(paths: Mapping[Path, str]) -> None:
    """Make ed25519 key pairs at ``paths``, with these comments, all at the same time."""
    makers = []
    for path, comment in paths.items():
        for old in (path, path.with_name(path.name + ".pub")):
            old.unlink(missing_ok=True)
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)]
        makers.append(subprocess.Popen(argv, stdin=subprocess.DEVNULL, env=ENVIRONMENT))
    if sum(maker.wait() for maker in makers) != 0:
        raise LabError("ssh-keygen failed")


def public_key(path: Path) -> str:
    """The public half of a key pair, without its comment."""
    return " ".join(path.with_name(path.name + ".pub").read_text().split()[:2])


def new_boot_id(base: Path) -> None:
    """What the kernel of the host tells after its next boot."""
    (base / "boot_id").write_text(f"{uuid.uuid4()}\n")


def write_sshd_config(path: Path, own: Mapping[str, str], settings: Mapping[str, str]) -> None:
    """Write sshd's settings, each once: ``settings`` win. Of two with one name sshd takes the first, but not of all."""
    lines = [f"{key} {value}" for key, value in _known({**STOCK_SSHD, **own, **settings})]
    path.write_text("\n".join(lines) + "\n")


def _known(settings: Mapping[str, str]) -> list[tuple[str, str]]:
    """The settings, with the place of the sftp server on this machine in them."""
    found = []
    for key, value in settings.items():
        if key == "Subsystem" and value.startswith("sftp /"):
            value = "sftp " + next((path for path in SFTP_SERVERS if Path(path).exists()), "internal-sftp")
        found.append((key, value))
    return found


def _without(path: str, name: str) -> str:
    """The lines of a user or group file that are not about ``name``."""
    kept = [line for line in Path(path).read_text().splitlines() if not line.startswith(name + ":")]
    return "\n".join(kept) + "\n"


def user_id(user: str, others: Sequence[str] = ()) -> int:
    """The uid and gid of a user of the lab's.

    :param others: the users beside the lab's first
    """
    return USER_ID + [USER, *others].index(user)


def write_passwd(base: Path, shell: str, others: Sequence[str] = ()) -> None:
    """The machine's users and the lab's. Written in place: the host sees this very file."""
    lines = []
    for user in (USER, *others):
        number = user_id(user, others)
        lines.append(f"{user}:x:{number}:{number}:Lab:/home/{user}:{shell}\n")
    (base / "etc" / "passwd").write_text(_without("/etc/passwd", USER) + "".join(lines))


def make_home(path: Path, uid: int = USER_ID) -> None:
    """An empty home of a user of the lab's."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.chown(path, uid, uid)


def write_host_files(base: Path, name: str, hosts: Mapping[str, str], client_key: Path, shell: str,
                     others: Sequence[str] = ()) -> None:
    """Everything in a host's directory but its host key and its sshd_config.

    :param hosts: every host of the lab with its address: they know each other.
    """
    for directory in ("etc", "ssh", "root"):
        (base / directory).mkdir(exist_ok=True)
    (base / "root").chmod(0o700)
    make_home(base / "home")
    for other in others:
        make_home(base / "homes" / other, user_id(other, others))
    etc, users = base / "etc", (USER, *others)
    write_passwd(base, shell, others)
    (etc / "shadow").write_text(_without("/etc/shadow", USER) + "".join(f"{user}:*:19000:0:99999:7:::\n" for user in users))
    (etc / "shadow").chmod(0o600)
    (etc / "group").write_text(_without("/etc/group", USER) + "".join(f"{user}:x:{user_id(user, others)}:\n" for user in users))
    (etc / "hostname").write_text(name + "\n")
    table = "".join(f"{address} {other}\n" for other, address in hosts.items())
    (etc / "hosts").write_text(f"127.0.0.1 localhost\n{table}")
    (etc / "machine-id").write_text(uuid.uuid4().hex + "\n")
    (etc / "resolv.conf").write_text("# no name server: the lab has no way out\n")
    (base / "ssh" / "authorized_keys").write_text(public_key(client_key) + "\n")
    (base / "ssh" / "ssh_config").write_text("Host *\n    IdentityAgent none\n")
    new_boot_id(base)
