"""A terminal of a given size with a command in it, and what stands on its screen."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.conftest import cli_environment

_SEQUENCE = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|\x1b[=>]|\x1b\][^\x07]*\x07")


class Terminal:
    """Runs a command with a pseudo terminal as its input and output.

    :param kill: end the command at the end of the body; else only its terminal goes away
    """

    def __init__(self, argv: Sequence[str], cwd: Path, *, columns: int = 80, rows: int = 24,
                 env: Mapping[str, str] | None = None, kill: bool = True):
        self._kill = kill
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        environment = {**(os.environ if env is None else env), **cli_environment(), "TERM": "xterm-256color"}
        for name in ("COLUMNS", "LINES"):
            environment.pop(name, None)
        self.text = ""
        self._raw = b""
        self._process = subprocess.Popen(argv, cwd=cwd, env=environment, stdin=slave, stdout=slave, stderr=slave,
                                         preexec_fn=_own_session)
        os.close(slave)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *error: object) -> None:
        if self._kill:
            self._process.kill()
            self._process.wait()
        os.close(self._master)
        self._process.wait(30)

    def read_until(self, condition: Callable[[str], object], seconds: float = 30.0) -> str:
        """Return all that was written, once a condition on its :func:`plain` text holds."""
        deadline = time.monotonic() + seconds
        while not condition(plain(self.text)):
            assert time.monotonic() < deadline, plain(self.text)[-2000:]
            assert self._more(deadline) or condition(plain(self.text)), plain(self.text)[-2000:]
        return self.text

    def read_to_end(self, seconds: float = 30.0) -> str:
        """Return all that was written, once the command has let go of the terminal."""
        deadline = time.monotonic() + seconds
        while self._more(deadline):
            assert time.monotonic() < deadline, self.text
        return self.text

    def press_ctrl_c(self) -> None:
        """Send what the key sends."""
        self.press(b"\x03")

    def press(self, keys: bytes) -> None:
        """Send what keys send."""
        os.write(self._master, keys)

    def modes(self) -> list:
        """Return the modes of the terminal, such as whether what is typed is shown."""
        return termios.tcgetattr(self._master)

    @property
    def pid(self) -> int:
        """Return the process id of the command."""
        return self._process.pid

    def resize(self, columns: int, rows: int) -> None:
        """Change its size, which the command hears of."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def wait(self, seconds: float = 30.0) -> int:
        """Return the exit code."""
        return self._process.wait(seconds)

    def _more(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
        data = b""
        if ready:
            # Linux reports EIO when nobody has the other end open any more.
            with contextlib.suppress(OSError):
                data = os.read(self._master, 65536)
        self._raw += data
        self.text = self._raw.decode("utf-8", "replace")
        return bool(data)


def _own_session() -> None:
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def plain(text: str) -> str:
    """Return a text without what only moves, colours or erases."""
    return _SEQUENCE.sub("", text).replace("\r", "")
