"""Keyboard: reads single keys from the terminal of a live view, and restores the terminal afterwards.

Keys are read without waiting for the end of a line and without echo; Ctrl-C and Ctrl-Z work as usual. The terminal's
modes are restored when the view ends, when Ctrl-Z stops us, and, by a small process that waits for our end, also when
we are killed.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import select
import signal
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from sshjobs.views.base import Output

#: How often, in seconds, it is checked whether we have the terminal.
_LOOK_S = 0.25
#: How many seconds the thread gets to restore the terminal before a signal handler does it.
_GIVES_WAY_S = 0.5
#: How many bytes of keys are read at a time.
_CHUNK = 256
_KEY = re.compile(r"\x1b(?:\[[0-9;]*[A-Za-z~]|O[A-Za-z])|.", re.DOTALL)
_NAMES = {"\x1b[A": "up", "\x1b[B": "down", "\x1bOA": "up", "\x1bOB": "down", "\x1b": "escape", "\r": "enter",
          "\n": "enter", "\x7f": "backspace", "\x08": "backspace", "\t": "down", "\x1b[Z": "up"}
# Reads until our end of the pipe is closed. A byte read before that means that all is in order. Where the shell has
# taken its terminal back by then, the modes are the shell's and are left alone.
_GUARD = r"""trap '' INT QUIT TERM HUP TSTP TTOU TTIN
read -r over && exit
set -- "$1" $(ps -o pgid=,tpgid= -p $$)
[ -n "$1" ] && [ -n "$2" ] && [ "$2" = "$3" ] && stty "$1" <&1
printf '\r\n\033[?25h'
"""
_held: Keyboard | None = None


def put_back() -> None:
    """Restore the terminal, before the process is ended at once. May be called in any thread."""
    if _held is not None:
        _held.rest()


class Guard:
    """A process that shows a terminal's cursor again and restores its modes if we are killed.

    :param screen: the descriptor of the terminal
    """

    def __init__(self, screen: int):
        self._process: subprocess.Popen[bytes] | None = None
        # Where it cannot be started, the only harm is that a kill -9 leaves the cursor hidden.
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            modes = subprocess.run(["stty", "-g"], stdin=screen, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                   timeout=5, check=False).stdout.decode("ascii", "replace").strip()
            self._process = subprocess.Popen(["sh", "-c", _GUARD, "sh", modes], stdin=subprocess.PIPE, stdout=screen,
                                             stderr=subprocess.DEVNULL)

    def close(self) -> None:
        """End the process: all is in order."""
        process, self._process = self._process, None
        if process is None or process.stdin is None:
            return
        with contextlib.suppress(OSError):
            process.stdin.write(b"\n")
            process.stdin.close()
        process.wait()


class Keyboard:
    """Reads keys in a thread of its own, while we have the terminal.

    :param descriptor: the terminal
    :param in_front: tells whether we have the terminal; in the background nothing is read and its modes are left alone
    :param press: called with each key: a character, or a name such as ``up`` or ``enter``
    """

    def __init__(self, descriptor: int, in_front: Callable[[], bool], press: Callable[[str], None]):
        self._descriptor, self._in_front, self._press = descriptor, in_front, press
        self._decoder = codecs.getincrementaldecoder("utf-8")("ignore")
        #: The original modes of the terminal; ``None`` while it has them.
        self._found: list[Any] | None = None
        #: Whether the terminal has the modes that we want.
        self._applied = False
        self._resting = False
        self._over = threading.Event()
        self._wakes = os.pipe()
        self._thread = threading.Thread(target=self._listen, name="sshjobs-keys", daemon=True)

    @classmethod
    def of(cls, output: Output, press: Callable[[str], None]) -> Keyboard | None:
        """Return the keyboard of the terminal that is printed on; ``None`` where standard input is something else."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            if os.isatty(0) and os.fstat(0).st_rdev == os.fstat(output.stream.fileno()).st_rdev:
                return cls(0, output.in_front, press)
        return None

    def start(self) -> None:
        """Start reading."""
        global _held
        _held = self
        self._thread.start()

    def close(self) -> None:
        """Stop reading and restore the terminal."""
        global _held
        self._over.set()
        self._rest_soon()
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(2 * _LOOK_S)
        self._put_back()
        _held = None
        wakes, self._wakes = self._wakes, (-1, -1)
        for end in wakes if not self._thread.is_alive() else ():
            with contextlib.suppress(OSError):
                os.close(end)

    def rest(self) -> None:
        """Leave the terminal alone until :meth:`go_on`. Safe in signal handlers: it waits for no lock."""
        self._rest_soon()
        deadline = time.monotonic() + _GIVES_WAY_S
        while self._found is not None and self._thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.005)
        self._put_back()

    def go_on(self) -> None:
        """Read again, as soon as we have the terminal."""
        # A shell may have set its own modes.
        self._resting = self._applied = False

    def _rest_soon(self) -> None:
        self._resting = True
        with contextlib.suppress(OSError):
            os.write(self._wakes[1], b"\n")

    # -- in the thread -------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        # If another program gets the terminal at this moment, a call fails instead of stopping us.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTIN, signal.SIGTTOU})
        try:
            while not self._over.is_set():
                if self._resting or not self._in_front():
                    self._give_way()
                elif self._take_modes():
                    for key in self._read():
                        self._press(key)
        except (OSError, ValueError, termios.error):
            # The terminal has gone; the run goes on without keys.
            return

    def _give_way(self) -> None:
        if self._resting:
            self._put_back()
        # In the background the shell sets the modes; ours are set again when we return.
        self._over.wait(0.02 if self._resting else _LOOK_S)
        self._applied = False

    def _take_modes(self) -> bool:
        if self._applied:
            return True
        modes = termios.tcgetattr(self._descriptor)
        if self._found is None:
            self._found = modes
        wanted = [*modes[:3], modes[3] & ~(termios.ICANON | termios.ECHO), *modes[4:6], list(modes[6])]
        wanted[6][termios.VMIN], wanted[6][termios.VTIME] = 1, 0
        if self._resting:
            return False
        termios.tcsetattr(self._descriptor, termios.TCSANOW, wanted)
        self._applied = True
        return True

    def _put_back(self) -> None:
        found, self._found = self._found, None
        if found is not None and self._in_front():
            with contextlib.suppress(OSError, termios.error):
                termios.tcsetattr(self._descriptor, termios.TCSANOW, found)

    def _read(self) -> Iterator[str]:
        ready = select.select([self._descriptor, self._wakes[0]], [], [], _LOOK_S)[0]
        if self._wakes[0] in ready:
            os.read(self._wakes[0], _CHUNK)
        if self._descriptor not in ready or self._resting or not self._in_front():
            return
        data = os.read(self._descriptor, _CHUNK)
        if not data:
            # Ctrl-D was pressed while it still meant the end of input, or the terminal has gone.
            self._over.wait(_LOOK_S)
        for found in _KEY.finditer(self._decoder.decode(data)):
            key = _NAMES.get(found[0], found[0])
            if len(key) > 1 and key.startswith("\x1b"):
                continue
            yield key
