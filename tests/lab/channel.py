"""Talking with a process of the lab by one JSON object a line."""

from __future__ import annotations

import json
import os
import select
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.lab.base import LabError

PATIENCE = 30.0
#: What a command of the lab may need; nothing of the user's environment reaches a host.
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


class Channel:
    """A child that lives no longer than its stdin, which is this end of the channel.

    It gets a session of its own: Ctrl-C at the terminal is for the tests, which then close the lab.
    """

    def __init__(self, argv: Sequence[str], errors: Path) -> None:
        self.name = errors.stem
        self._errors = errors
        self._lock = threading.Lock()
        self._unread = b""
        with open(errors, "ab") as log:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                start_new_session=True, env=ENVIRONMENT, cwd="/", bufsize=0,
            )  # fmt: skip

    def read_line(self, patience: float = PATIENCE) -> str:
        """The next line that the child says.

        :raises LabError: when it ends, or says nothing for ``patience`` seconds.
        """
        assert self.process.stdout is not None
        deadline = time.monotonic() + patience
        while b"\n" not in self._unread:
            left = max(0.0, deadline - time.monotonic())
            ready, _, _ = select.select([self.process.stdout], [], [], left)
            chunk = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            if not chunk:
                why = "ended" if ready else f"said nothing for {patience:g} s"
                raise LabError(f"{self.name} {why}: {self._last_words()}")
            self._unread += chunk
        line, self._unread = self._unread.split(b"\n", 1)
        return line.decode()

    def send(self, order: dict[str, Any]) -> None:
        """Give an order without waiting for the answer."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(order).encode() + b"\n")
        except BrokenPipeError:
            raise LabError(f"{self.name} is gone: {self._last_words()}") from None

    def receive(self) -> dict[str, Any]:
        """The answer to the order before.

        :raises LabError: when the answer is an error.
        """
        answer: dict[str, Any] = json.loads(self.read_line())
        if "error" in answer:
            raise LabError(f"{self.name}: {answer['error']}{self._last_words()}")
        return answer

    def ask(self, order: dict[str, Any]) -> dict[str, Any]:
        """Give an order and wait until it is carried out."""
        with self._lock:
            self.send(order)
            return self.receive()

    def close(self) -> None:
        """Let the child end by ending its stdin; killed when it does not. May be repeated."""
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _last_words(self) -> str:
        try:
            return self._errors.read_text(errors="replace")[-2000:].strip()
        except OSError:
            return "(nothing on stderr)"
