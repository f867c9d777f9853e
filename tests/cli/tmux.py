"""A shell in a terminal that a real terminal emulator keeps: what stands on its screen, also after a change of size."""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.conftest import cli_environment


class Tmux:
    """Runs an interactive bash in tmux, with a prompt of ``$ ``.

    :param env: variables besides those of this process
    """

    def __init__(self, cwd: Path, *, columns: int = 80, rows: int = 24, env: Mapping[str, str] | None = None):
        self._name = f"sshjobs-test-{secrets.token_hex(4)}"
        environment = {**os.environ, **cli_environment(), **(env or {}), "LC_ALL": "C.UTF-8"}
        environment.pop("TMUX", None)
        self._tmux("-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(rows), "-c", str(cwd),
                   "exec env PS1='$ ' bash --norc --noprofile -i", env=environment)
        self._tmux("set", "-g", "history-limit", "5000")

    def __enter__(self) -> Tmux:
        self.wait_for(lambda screen: screen.rstrip().endswith("$"))
        return self

    def __exit__(self, *error: object) -> None:
        self._tmux("kill-server")

    def write(self, text: str) -> None:
        """Type a text."""
        self._tmux("send-keys", "-l", text)

    def type(self, text: str) -> None:
        """Type a line."""
        self.write(text)
        self.press("Enter")

    def press(self, *keys: str) -> None:
        """Press keys, by tmux's names: ``C-z``, ``Enter``."""
        self._tmux("send-keys", *keys)

    def resize(self, columns: int, rows: int) -> None:
        """Change the size of the terminal."""
        self._tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def screen(self) -> str:
        """Return what stands on the screen."""
        return self._tmux("capture-pane", "-p")

    def colours(self) -> str:
        """Return the same with the sequences that colour it."""
        return self._tmux("capture-pane", "-p", "-e")

    def child(self) -> int:
        """Return the process id of the command that the shell runs."""
        shell = self._tmux("display-message", "-p", "#{pane_pid}").strip()
        return int(Path(f"/proc/{shell}/task/{shell}/children").read_text().split()[0])

    def shows_cursor(self) -> bool:
        """Tell whether the cursor can be seen."""
        return self._tmux("display-message", "-p", "#{cursor_flag}").strip() == "1"

    def wait_for(self, condition: Callable[[str], object], seconds: float = 60.0) -> str:
        """Return the screen once a condition on it holds."""
        deadline = time.monotonic() + seconds
        while not condition(screen := self.screen()):
            assert time.monotonic() < deadline, screen
            time.sleep(0.05)
        return screen

    def _tmux(self, *words: str, env: Mapping[str, str] | None = None) -> str:
        done = subprocess.run(["tmux", "-L", self._name, *words], env=env, capture_output=True, text=True, timeout=60,
                              check=False)
        assert done.returncode == 0 or words == ("kill-server",), done.stderr
        return done.stdout
