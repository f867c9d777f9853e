"""A manager's end of a link, for tests: its own small codec, independent of both sides of the product.

Every frame that comes is checked: outputs must follow each other without holes and match their crc32.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import time
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sshjobs.network import payload
from sshjobs.network.protocol import link as protocol
from tests.lab.waiting import wait_until

NONCE = "0123456789abcdef0123456789abcdef"
#: Seconds that anything may take before a test gives up.
PATIENCE = 20.0


class LinkEnded(Exception):
    """The far side hung up."""


def eventually(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """Wait until a condition holds and return what it returned."""
    return wait_until(condition, seconds, what)


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def children(pid: int) -> list[int]:
    """Living children of a process."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid and fields[0] not in "ZX":
                found.append(int(entry.name))
    return found


def holders(text: str) -> list[int]:
    """Living processes that have a text in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if text.encode() in (entry / "environ").read_bytes() and alive(int(entry.name)):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


class Link:
    """One connection, made as ssh makes it: a shell runs the remote command.

    :param python: interpreter of the far side
    :param environ: of the login
    :param user: uid of the login, where it is not ours
    """

    def __init__(self, python: str, environ: Mapping[str, str], packed: bytes | None = None, hello: bytes = b"",
                 near: bool = False, user: int | None = None, hurry: bool = False):
        self.process = subprocess.Popen(["sh", "-c", payload.remote_command(python)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, env=dict(environ), bufsize=0, user=user, group=user)
        self._buffer = self.last = b""
        self.frames: list[dict[str, Any]] = []
        self.outputs: dict[tuple[str, int], bytearray] = {}
        self.offsets: dict[tuple[str, int], int] = {}
        self.write(payload.first_stage(NONCE, packed, hello, near=near, hurry=hurry))
        try:
            self.noise = self._until_marker()
        except BaseException:
            self.close()
            raise

    # -- raw -------------------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        view = memoryview(data)
        while view:
            view = view[self.process.stdin.write(view) or 0:]

    def _read(self, deadline: float) -> None:
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise TimeoutError(f"nothing came; frames so far: {self.frames[-5:]}")
        data = os.read(self.process.stdout.fileno(), 1 << 16)
        if not data:
            raise LinkEnded(f"hung up; frames so far: {self.frames[-5:]}")
        self._buffer += data

    def _until_marker(self) -> bytes:
        marker = f"\nSSHJOBS-READY {NONCE}\n".encode()
        deadline = time.monotonic() + PATIENCE
        while marker not in self._buffer:
            self._read(deadline)
        noise, _, self._buffer = self._buffer.partition(marker)
        return noise

    # -- frames ----------------------------------------------------------------------------------------------------

    def say(self, t: str, body: bytes = b"", **keys: Any) -> None:
        self.write(encode(t, body, **keys))

    def next(self, seconds: float = PATIENCE) -> dict[str, Any]:
        """Return the next frame, its bytes under ``body``."""
        deadline = time.monotonic() + seconds
        while b"\n" not in self._buffer:
            self._read(deadline)
        # Nothing is taken before it is there as a whole: who runs out of time may ask again.
        line = self._buffer.partition(b"\n")[0]
        frame: dict[str, Any] = json.loads(line.decode("ascii"))
        size = frame.get("n", 0)
        while len(self._buffer) < len(line) + 1 + size:
            self._read(deadline)
        rest = self._buffer[len(line) + 1:]
        if "n" in frame:
            frame["body"] = rest[:size]
        self._buffer = rest[size:]
        self.last = line
        self._check(frame)
        self.frames.append(frame)
        return frame

    def _check(self, frame: dict[str, Any]) -> None:
        if frame["t"] == "out":
            key = frame["id"], frame["s"]
            assert frame["off"] == self.offsets.get(key, 0), "a hole or a repetition in an output"
            assert zlib.crc32(frame["body"]) == frame["crc"]
            self.offsets[key] = frame["off"] + frame["n"]
            self.outputs.setdefault(key, bytearray()).extend(frame["body"])
        elif frame["t"] == "ended":
            assert self.offsets.get((frame["id"], 1), 0) == frame["out"], "the end came before the output"
            assert self.offsets.get((frame["id"], 2), 0) == frame["err"], "the end came before the output"

    def until(self, t: str, seconds: float = PATIENCE, **keys: Any) -> dict[str, Any]:
        """Return the first frame from now on of a type and with such values."""
        deadline = time.monotonic() + seconds
        while True:
            frame = self.next(deadline - time.monotonic())
            if frame["t"] == t and all(frame[key] == value for key, value in keys.items()):
                return frame
            assert frame["t"] not in ("error", "refused"), frame

    def hung_up(self) -> bool:
        """Whether the far side ends the connection without a further frame."""
        try:
            self.next()
        except LinkEnded:
            return self.process.wait(PATIENCE) is not None
        return False

    # -- what managers do ------------------------------------------------------------------------------------------

    def launch(self, uid: str, *argv: str, script: str | None = None, token: str | None = None, index: int = 1,
               job: str | None = None, **spec: Any) -> None:
        spec.update({"argv": list(argv)} if script is None else {"script": script})
        self.say("launch", id=uid, token=token or token_of(uid), job=job or f"job-{uid}", index=index, spec=spec)

    def end_of(self, uid: str, seconds: float = PATIENCE) -> dict[str, Any]:
        """Return how an attempt ended, waiting for it if it has not yet."""
        for frame in self.frames:
            if frame["t"] == "ended" and frame["id"] == uid:
                return frame
        return self.until("ended", seconds, id=uid)

    def run(self, uid: str, *argv: str, **keys: Any) -> dict[str, Any]:
        """Launch, and return how it ended."""
        self.launch(uid, *argv, **keys)
        return self.end_of(uid)

    def stdout(self, uid: str) -> bytes:
        return bytes(self.outputs.get((uid, 1), b""))

    def stderr(self, uid: str) -> bytes:
        return bytes(self.outputs.get((uid, 2), b""))

    def have(self, *uids: str) -> list[list[Any]]:
        """What a sync frame says of attempts."""
        return [[uid, self.offsets.get((uid, 1), 0), self.offsets.get((uid, 2), 0)] for uid in uids]

    def cut(self) -> None:
        """Lose the connection as when sshd dies."""
        self.process.send_signal(signal.SIGKILL)
        self.close()

    def close(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.kill()
        self.process.wait()


def token_of(uid: str) -> str:
    """A token that no other test's processes carry at the same time."""
    return f"t{os.getpid()}x{uid.replace('.', 'x')}".ljust(16, "0")


def encode(t: str, body: bytes = b"", **keys: Any) -> bytes:
    """A frame as bytes."""
    return json.dumps({"t": t, **keys}).encode("ascii") + b"\n" + body


class FarHost:
    """One host with one run's agent, as a test sees it.

    :param home: HOME of the login
    """

    def __init__(self, python: str, home: Path, packed: bytes | None = None):
        self.python, self.home, self.packed = python, home, packed
        self.run = os.urandom(16).hex()
        # The mark is in the environment of everything that is started here.
        # A machine by itself: what runs on others holds nothing here.
        self.shared = Path(f"/tmp/sshjobs-test-shared-{self.run}")
        self.environ = {**os.environ, "HOME": str(home), "FAR_HOST": self.run, "SSHJOBS_SHARED": str(self.shared)}
        self.links: list[Link] = []
        self.user: int | None = None
        self.welcome: dict[str, Any] = {}

    def connect(self, *, epoch: int = 1, slots: int | None = 2, sync: list[list[Any]] | None = None,
                offsets: Mapping[tuple[str, int], int] | None = None, **keys: Any) -> Link:
        """Open a link, say hello and sync, and return it when the welcome is here."""
        link = self.open()
        link.offsets.update(offsets or {})
        self.hello(link, epoch=epoch, slots=slots, **keys)
        link.say("sync", a=sync or [], last=True)
        self.welcome = link.until("welcome")
        return link

    def open(self) -> Link:
        """Open a link and say nothing yet."""
        link = Link(self.python, self.environ, self.packed, user=self.user)
        self.links.append(link)
        return link

    def greet(self, *, near: bool = False, hurry: bool = False) -> Link:
        """Open a link as managers do: the first word travels with what starts the agent. Wait for nothing."""
        link = Link(self.python, self.environ, self.packed, self.first_word(), near, hurry=hurry)
        self.links.append(link)
        return link

    def first_word(self) -> bytes:
        return protocol.hello(run=self.run, name="run-1", host="far", epoch=1, slots=2)

    def hello(self, link: Link, *, epoch: int = 1, slots: int | None = 2, root: str | None = None,
              host: str = "far", v: int = 1) -> None:
        link.say("hello", v=v, run=self.run, name="run-1", host=host, epoch=epoch, slots=slots, root=root)

    def again(self, link: Link, *uids: str, **keys: Any) -> Link:
        """Reconnect after a link was lost, with what it had received of some attempts."""
        offsets = {key: value for key, value in link.offsets.items() if key[0] in uids}
        return self.connect(sync=link.have(*uids), offsets=offsets, **keys)

    @property
    def agent(self) -> int:
        """The agent's pid."""
        return int(self.welcome["pid"])

    @property
    def directory(self) -> Path:
        """The run's directory on this host."""
        (directory,) = (Path(self.welcome["root"]) / self.run).iterdir()
        return directory

    def kill_agent(self) -> None:
        """kill -9 of the agent, until it is gone."""
        os.kill(self.agent, signal.SIGKILL)
        eventually(lambda: not alive(self.agent), "the agent's death")

    def runners(self) -> list[int]:
        """Pids of the agent's runners, and of jobs that it took over."""
        return children(self.agent)

    def _kill_all(self) -> list[int]:
        doomed = holders(f"FAR_HOST={self.run}")
        for pid in doomed:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        return doomed

    def close(self) -> None:
        """End everything that was started here."""
        for link in self.links:
            link.close()
        # Again and again: what has just begun starts others while it is looked for.
        eventually(lambda: not self._kill_all(), "the death of all that was started")
        for path in Path(f"/tmp/sshjobs-{os.getuid()}").glob(f"{self.run[:8]}-*"):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.shared, ignore_errors=True)
