"""Which labs there are: names and subnets that do not collide, and the leftovers of dead ones."""

from __future__ import annotations

import fcntl
import ipaddress
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.lab.base import LabError
from tests.lab.process import all_pids, read_process, start_time
from tests.lab.waiting import wait_until

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
#: Interfaces of labs are named with this, then the tag.
PREFIX = "sj"
#: Every lab gets a /24 of 10.128.0.0/9.
FIRST_BLOCK = 128
BLOCKS = 128 * 256


def base36(number: int) -> str:
    """An interface name has 15 characters, so numbers are written short."""
    text = ""
    while True:
        number, digit = divmod(number, 36)
        text = DIGITS[digit] + text
        if not number:
            return text


@dataclass(frozen=True)
class Entry:
    """A lab in the registry: its tag, its directory and the first three numbers of its addresses."""

    tag: str
    base: Path
    net: str

    @property
    def uplink(self) -> str:
        """The interface by which this machine reaches the lab."""
        return f"{PREFIX}{self.tag}"

    def address(self, number: int) -> str:
        return f"{self.net}.{number}"


def registry() -> Path:
    """The directory with a subdirectory for every lab of this user, made when it is not there.

    :raises LabError: when somebody else owns it, who could then choose what we delete.
    """
    path = Path(f"/tmp/sshjobs-lab-{os.geteuid()}")
    path.mkdir(mode=0o700, exist_ok=True)
    status = path.lstat()
    if path.is_symlink() or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise LabError(f"{path} is not a private directory of this user; remove it")
    return path


@contextmanager
def _locked() -> Iterator[Path]:
    root = registry()
    with open(root / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield root


def _owner_lives(directory: Path) -> bool:
    try:
        owner = json.loads((directory / "owner.json").read_text())
    except (OSError, ValueError):
        return False
    began = start_time(owner["pid"])
    return began is not None and began == owner["start_time"]


def _used_addresses() -> set[str]:
    """The first three numbers of every IPv4 address that this machine has."""
    try:
        asked = subprocess.run(["ip", "-j", "-4", "addr"], capture_output=True, check=True, timeout=10)
        found = {info["local"] for link in json.loads(asked.stdout) for info in link.get("addr_info", [])}
    except (OSError, subprocess.SubprocessError, ValueError, KeyError):
        return set()
    return {str(ipaddress.ip_address(address)).rpartition(".")[0] for address in found}


def reserve(base: Path | None = None) -> Entry:
    """Claim a tag and a subnet that no other lab of this machine uses, and make the lab's directory.

    :param base: where the lab keeps its files; None: in the registry.
    """
    with _locked() as root:
        taken = {net.read_text() for net in root.glob("*/net")} | _used_addresses()
        count = 0
        while (root / (tag := f"{base36(os.getpid())}-{base36(count)}")).exists():
            count += 1
        # Labs of neighbouring processes start far apart, so a subnet is not used again at once.
        first = (os.getpid() * 37 + count) % BLOCKS
        for block in (*range(first, BLOCKS), *range(first)):
            net = f"10.{FIRST_BLOCK + block // 256}.{block % 256}"
            if net not in taken:
                break
        else:
            raise LabError("no free subnet in 10.128.0.0/9 for a lab")
        directory = root / tag
        directory.mkdir(mode=0o700)
        owner = {"pid": os.getpid(), "start_time": start_time(os.getpid())}
        (directory / "owner.json").write_text(json.dumps(owner))
        (directory / "net").write_text(net)
        place = directory / "lab" if base is None else base.resolve() / tag
        place.mkdir(mode=0o700, parents=True)
        (directory / "base").write_text(str(place))
    return Entry(tag, place, net)


def release(tag: str) -> None:
    """Forget a lab and remove its files and its interface, whatever is left of them."""
    directory = registry() / tag
    try:
        base = Path((directory / "base").read_text())
        shutil.rmtree(base, ignore_errors=True)
    except OSError:
        pass  # It died before it had a directory.
    if Path(f"/sys/class/net/{PREFIX}{tag}").exists():
        subprocess.run(["ip", "link", "del", f"{PREFIX}{tag}"], capture_output=True, check=False, timeout=10)
    shutil.rmtree(directory, ignore_errors=True)


def _servants(directory: Path) -> list[int]:
    """Processes that a lab started and that name its directory in their arguments."""
    marks = [str(directory) + os.sep]
    try:
        marks.append((directory / "base").read_text() + os.sep)
    except OSError:
        pass  # It died before it had a directory.
    found = (read_process(pid) for pid in all_pids())
    return [p.pid for p in found if p is not None and any(word.startswith(tuple(marks)) for word in p.argv)]


def _is_deserted(directory: Path) -> bool:
    return not _servants(directory)


def sweep() -> list[str]:
    """Remove what labs left whose process is gone; returns their tags.

    The processes of a lab end by themselves when their owner is gone; what did not is killed here,
    found by the lab's own directory in its arguments.
    """
    gone: list[str] = []
    with _locked() as root:
        for directory in root.iterdir():
            if not directory.is_dir() or _owner_lives(directory):
                continue
            for pid in _servants(directory):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass  # It ended on its own.
            wait_until(partial(_is_deserted, directory), 10, f"the end of lab {directory.name}")
            release(directory.name)
            gone.append(directory.name)
    return gone
