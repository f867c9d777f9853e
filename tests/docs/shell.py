"""A shell for one page: a directory, a clean home, our command, and ssh that knows the lab's hosts."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from tests.conftest import cli_environment
from tests.lab import BaseLab

# Commands come NUL-separated on descriptor 9. `$?` is that of the command before, as a reader expects.
_LOOP = """
last=0
while IFS= read -r -d '' -u 9 command; do
    eval "(exit $last)
$command" </dev/null 2>&1 9<&-
    last=$?
    printf '\\n%s %s\\n' "$PAGE_MARK" "$last"
done
"""

# What bash itself says of processes in the background: a person sees it, in another form.
_NOTICE = re.compile(r"bash: line \d+: +\d+ (Killed|Terminated) ")

# Stands in for the interpreter that `make` makes its environment with: all is real but the installing.
_PYTHON = """#!/bin/sh
case "$*" in
"-m venv .venv") mkdir -p .venv/bin; cp "$0" .venv/bin/python; cp {bin}/sshjobs .venv/bin/ ;;
"-m pip install "*) ;;
*) exec {python} "$@" ;;
esac
"""


#: How long a command of a page may take, in seconds.
LIMIT_S = 120.0


class PageShell:
    """Runs the commands of one page, one after another, in one bash.

    :param where: a directory of the test's own; the page's commands run in ``work`` below it
    :param lab: hosts that ``ssh`` is to know; ``None`` for none
    :param more: further variables
    """

    def __init__(self, where: Path, lab: BaseLab | None, more: Mapping[str, str] | None = None):
        self.work, self._bin, home = where / "work", where / "bin", where / "home"
        for directory in (self.work, self._bin, home):
            directory.mkdir(mode=0o700)
        self.program("sshjobs-cluster", f"exec {shlex.quote(sys.executable)} -c 'from sshjobs.__main__ import cluster; cluster()' \"$@\"")
        for name, module in (("sshjobs", "sshjobs"), ("gjob", "sshjobs.gjob.verbs.main")):
            self.program(name, f'exec {shlex.quote(sys.executable)} -m {module} "$@"')
        for name in ("python", "python3"):
            self.program(name, f'exec {shlex.quote(sys.executable)} "$@"')
        if lab is not None:
            # OpenSSH finds ~/.ssh/config through the password database, not through HOME.
            self.program("ssh", f'exec {shutil.which("ssh")} -F {shlex.quote(str(lab.ssh_config))} "$@"')
        maker = where / "python3"
        maker.write_text(_PYTHON.format(bin=shlex.quote(str(self._bin)), python=shlex.quote(sys.executable)))
        maker.chmod(0o755)
        self._mark = secrets.token_hex(8)
        self._env = {
            "PATH": f"{self._bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(home),
            "LANG": "C.UTF-8", "COLUMNS": "120", "TZ": "UTC", "USER": os.environ.get("USER", "root"),
            "PYTHON": str(maker), "PAGE_MARK": self._mark,
            "SSHJOBS_SHARED": str(where / "shared"), **cli_environment(), **(more or {}),
        }

    def __enter__(self) -> PageShell:
        reader, writer = os.pipe()
        self._bash = subprocess.Popen(
            ["bash", "-c", f"exec 9<&{reader} {reader}<&-\n{_LOOP}"], cwd=self.work, env=self._env,
            pass_fds=[reader], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True)
        os.close(reader)
        self._commands = os.fdopen(writer, "wb", buffering=0)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._commands.close()
        # What a page left in the background ends with it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._bash.pid, signal.SIGTERM)
        self._bash.communicate(timeout=30)

    def program(self, name: str, script: str) -> None:
        """Have commands find a program, which is a script of sh."""
        path = self._bin / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def write(self, name: str, text: str) -> None:
        """Write a file of the page."""
        path = self.work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def run(self, command: str) -> tuple[int, list[str]]:
        """Run a command; return its exit status and the lines that it printed, errors included.

        :raises AssertionError: it has not ended in :data:`LIMIT_S`; says what it and all in the background have printed
        """
        self._commands.write(command.encode() + b"\0")
        lines: list[str] = []
        assert self._bash.stdout is not None
        # A loop that waits for what never comes says nothing by itself.
        limit = threading.Timer(LIMIT_S, os.killpg, (self._bash.pid, signal.SIGKILL))
        limit.start()
        try:
            for line in self._bash.stdout:
                if line.startswith(f"{self._mark} "):
                    return int(line.split()[1]), lines
                if not _NOTICE.match(line):
                    lines.append(line.rstrip("\n"))
        finally:
            limit.cancel()
        logs = [f"{path.name}: {path.read_text(errors='replace')[-2000:]}" for path in sorted(self.work.glob("*log"))]
        raise AssertionError("\n".join([f"the shell ended during: {command}", *lines, *logs]))
