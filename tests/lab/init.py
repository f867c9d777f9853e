"""Process 1 of a lab host: gives the host a world of its own, starts sshd, buries the dead.

Run as ``unshare --mount --net --pid --uts --fork python -I -S init.py MARK``; stdlib only, because it
runs apart from the package. One JSON object a line comes in on stdin and is answered by one on stdout.
When stdin ends, the lab's owner is gone: process 1 exits, and the kernel kills all that runs on the host.
"""

from __future__ import annotations

import ctypes
import encodings.idna  # noqa: F401  # loaded now: later this interpreter's own files may be out of sight
import errno
import fnmatch
import json
import os
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
import traceback
from typing import Any

MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC = 2, 4, 8, 4096, 16384
MNT_DETACH = 2
#: Of root only; holds the layers of overlays and the host's files.
BACKSTAGE = "/run/lab"
FILES = BACKSTAGE + "/files"
PROGRAM_DIRECTORIES = ("/usr/bin", "/bin", "/usr/local/bin")
SSHD_PATIENCE = 20.0
LISTENING = "0A"
#: What a real init would give its services.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def mount(source: str, target: str, kind: str = "none", flags: int = 0, data: str = "") -> None:
    words = (source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode())
    check(libc.mount(*words), f"mount {source} on {target}")


def unmount(target: str) -> None:
    check(libc.umount2(target.encode(), MNT_DETACH), f"unmount {target}")


def bind(source: str, target: str) -> None:
    mount(source, target, flags=MS_BIND | MS_REC)


def tmpfs(target: str, mode: str = "755") -> None:
    if os.path.isdir(target):
        mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV, f"mode={mode}")


def overlay(target: str, layer: str) -> None:
    """Cover ``target`` by itself plus what stands in ``layer``; writes to it stay on this host."""
    work = layer + ".work"
    os.makedirs(layer, exist_ok=True)
    os.makedirs(work)
    mount("overlay", target, "overlay", 0, f"lowerdir={target},upperdir={layer},workdir={work}")


def private_etc() -> None:
    """A /etc that the host may change: an overlay, or a copy where the kernel has none."""
    try:
        overlay("/etc", BACKSTAGE + "/etc")
    except OSError as error:
        if error.errno not in (errno.ENODEV, errno.EINVAL, errno.EPERM):
            raise
        shutil.copytree("/etc", BACKSTAGE + "/etc-copy", symlinks=True)
        bind(BACKSTAGE + "/etc-copy", "/etc")


def place_python(held: int, prefix: str) -> None:
    """Bring a pinned interpreter back to where it was built for, which may be out of sight by now."""
    if not os.path.isdir(prefix + "/bin"):
        os.makedirs(prefix, exist_ok=True)
        bind(f"/proc/self/fd/{held}", prefix)
    if prefix.startswith("/root/"):
        os.chmod("/root", 0o711)  # Everybody shall find it.
    os.close(held)


def place_files(order: dict[str, Any]) -> None:
    """Files that differ from host to host, and emptiness where this machine's own would be seen."""
    base = os.open(order["base"], os.O_PATH)
    python = os.open(order["python_prefix"], os.O_PATH) if order["python_prefix"] else -1
    tmpfs("/run")
    os.mkdir(BACKSTAGE, 0o700)
    os.mkdir("/run/sshd", 0o755)
    os.mkdir(FILES, 0o700)
    bind(f"/proc/self/fd/{base}", FILES)
    os.close(base)
    private_etc()
    for name in os.listdir(FILES + "/etc"):
        if not os.path.exists("/etc/" + name):
            os.close(os.open("/etc/" + name, os.O_CREAT | os.O_WRONLY, 0o644))
        bind(f"{FILES}/etc/{name}", "/etc/" + name)
    bind(FILES + "/ssh", "/etc/ssh")
    for place in (*order["hidden"], "/home", "/var/log"):
        tmpfs(place)
    for place in ("/tmp", "/var/tmp", "/dev/shm"):
        tmpfs(place, "1777")
    os.mkdir(order["home"], 0o755)
    bind(FILES + "/home", order["home"])
    for other in order["others"]:
        os.mkdir("/home/" + other, 0o755)
        bind(f"{FILES}/homes/{other}", "/home/" + other)
    bind(FILES + "/root", "/root")
    if python >= 0:
        place_python(python, order["python_prefix"])
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    bind(FILES + "/boot_id", "/proc/sys/kernel/random/boot_id")
    unmount(FILES)
    mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620,gid=5")
    bind("/dev/pts/ptmx", "/dev/ptmx")


def is_listening(port: int) -> bool:
    """Asked of the kernel, so that sshd's log and its count of connections stay untouched."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table) as lines:
            for line in lines:
                fields = line.split()
                if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    return True
    return False


class Host:
    """The host behind this process; each public method is a command that the lab may give."""

    def __init__(self) -> None:
        self.sshd: subprocess.Popen[bytes] | None = None
        self.sshd_log = -1
        self.covered: list[str] = []
        self.layers = 0

    def boot(self, order: dict[str, Any]) -> None:
        """Make the host's world, then start sshd."""
        self.sshd_log = os.open(
            order["base"] + "/sshd.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        socket.sethostname(order["name"])
        subprocess.run(["ip", "-batch", "-"], input=order["network"].encode(), check=True)
        place_files(order)
        self.programs(order)
        self.restart_sshd(order)

    def programs(self, order: dict[str, Any]) -> None:
        """Replace programs: a glob of names to null (gone), or to the text of a script or a link."""
        for directory in self.covered:
            unmount(directory)
        self.covered = []
        self.layers += 1
        if not order["programs"]:
            return
        for number, directory in enumerate(PROGRAM_DIRECTORIES):
            if os.path.islink(directory) or not os.path.isdir(directory):
                continue
            layer = f"{BACKSTAGE}/programs-{self.layers}-{number}"
            os.mkdir(layer)
            for pattern, instead in order["programs"].items():
                self._hide(directory, pattern, layer)
                if instead is not None and directory == "/usr/bin":
                    self._put(os.path.join(layer, pattern), instead)
            overlay(directory, layer)
            self.covered.append(directory)

    def _hide(self, directory: str, pattern: str, layer: str) -> None:
        for name in fnmatch.filter(os.listdir(directory), pattern):
            gone = os.path.join(layer, name)
            if not os.path.lexists(gone):
                os.mknod(gone, stat.S_IFCHR, 0)  # This is how an overlay spells "deleted".

    def _put(self, path: str, instead: dict[str, str]) -> None:
        if os.path.lexists(path):
            os.unlink(path)
        if "link" in instead:
            os.symlink(instead["link"], path)
            return
        with open(path, "w") as script:
            script.write(instead["text"])
        os.chmod(path, 0o755)

    def restart_sshd(self, order: dict[str, Any]) -> None:
        """Start sshd anew; live sessions stay, unless ``drop_sessions``. Returns when it listens."""
        if self.sshd is not None and self.sshd.poll() is None:
            self.sshd.terminate()
            self.sshd.wait()
        if order.get("drop_sessions"):
            self._kill_sessions()
        self.sshd = subprocess.Popen(
            [order["sshd"], "-D", "-e", "-f", "/etc/ssh/sshd_config"],
            stdin=subprocess.DEVNULL, stdout=self.sshd_log, stderr=self.sshd_log,
            start_new_session=True, env={"PATH": PATH, "LANG": "C.UTF-8"}, cwd="/",
        )  # fmt: skip
        deadline = time.monotonic() + SSHD_PATIENCE
        while not is_listening(order["port"]):
            if self.sshd.poll() is not None:
                raise RuntimeError(f"sshd ended with {self.sshd.returncode}, see its log")
            if time.monotonic() > deadline:
                raise RuntimeError("sshd does not listen")
            time.sleep(0.002)

    def _kill_sessions(self) -> None:
        for name in os.listdir("/proc"):
            if not name.isdigit():
                continue
            try:
                with open(f"/proc/{name}/comm") as comm:
                    if comm.read().strip().startswith("sshd"):
                        os.kill(int(name), signal.SIGKILL)
            except (FileNotFoundError, ProcessLookupError):
                continue  # It ended on its own.

    def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        """Carry out one command; an error is an answer too."""
        try:
            getattr(self, order["do"])(order)
        except (OSError, RuntimeError, subprocess.SubprocessError, LookupError, ValueError):
            return {"error": traceback.format_exc()}
        return {"ok": True}


def bury() -> None:
    """Reap every process that ended and has nobody else to do it."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return


def wake_on_signals() -> int:
    """Let SIGCHLD end a wait, and leave to children the signals as a fresh boot has them."""
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
        # A handler, not SIG_IGN: what is ignored stays ignored in every child, a handler does not.
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    return woken


def say(answer: dict[str, Any]) -> None:
    os.write(1, json.dumps(answer).encode() + b"\n")


def main() -> None:
    woken = wake_on_signals()
    os.umask(0o022)
    host = Host()
    # /proc is still the outer one: it tells our number as the lab knows us.
    say({"pid": int(os.readlink("/proc/self"))})
    unread = b""
    while True:
        ready, _, _ = select.select([0, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            bury()
        if 0 in ready:
            chunk = os.read(0, 65536)
            if not chunk:
                return
            unread += chunk
            while b"\n" in unread:
                line, unread = unread.split(b"\n", 1)
                say(host.obey(json.loads(line)))


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:
        sys.exit(0)  # Nobody listens any more, which is what the end of stdin says too.
