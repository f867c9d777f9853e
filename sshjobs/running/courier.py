"""Delivers notices: runs the recipient's command, or sends the message, with a time limit."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from importlib.util import find_spec

from sshjobs.errors import UsageError, printable
from sshjobs.model.telling import Notice

#: Seconds that a command or a message may take.
LIMIT_S = 60.0
_MESSENGER = """import json, sys, apprise
given = json.load(sys.stdin)
sender = apprise.Apprise()
if not sender.add(given["address"]):
    sys.exit(3)
sys.exit(0 if sender.notify(body=given["text"], title=given["title"]) else 4)
"""
#: So many bytes of a command's output are read.
_TAIL = 2000


def check_apprise() -> None:
    """Check that messages can be sent.

    :raises UsageError: with the command that installs what is missing
    """
    if find_spec("apprise") is None:
        raise UsageError("notify cannot send messages", why="not installed: apprise",
                         hint="install it with: pip install 'sshjobs[notify]'; or tell by a command: on_failure")


def deliver(notice: Notice, limit: float | None = None) -> str | None:
    """Deliver a notice; return why that failed, in a line, or ``None``. Takes hardly longer than the limit.

    :param limit: seconds; ``None``: :data:`LIMIT_S`
    """
    limit = LIMIT_S if limit is None else limit
    try:
        return _send(notice, limit) if notice.recipient.address else _run(notice, limit)
    except Exception as error:  # noqa: BLE001 (a library for many services: no exception of it may end the run)
        return printable(f"{type(error).__name__}: {error}")[:200]


def _run(notice: Notice, limit: float) -> str | None:
    fields = notice.fields()
    environment = {**os.environ, **{f"SSHJOBS_{name.upper()}": _word(value) for name, value in fields.items()}}
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
        given.write(json.dumps({"id": notice.id, "event": notice.event, **notice.about}).encode() + b"\n")
        given.seek(0)
        try:
            process = subprocess.Popen(notice.words(), stdin=given, stdout=said, stderr=said, env=environment,
                                       cwd=fields["directory"] or None, start_new_session=True)
        except (OSError, ValueError) as error:
            return printable(f"cannot be started: {error}")[:200]
        try:
            status = process.wait(limit)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return f"took longer than {limit:g} s, and was ended"
        if status == 0:
            return None
        said.seek(max(0, said.seek(0, os.SEEK_END) - _TAIL))
        lines = said.read().decode("utf-8", "replace").strip().splitlines()
        how = f"exit {status}" if status > 0 else f"signal {-status}"
        return printable(f"{how}: {lines[-1]}" if lines else how)[:200]


def _word(value: str) -> str:
    # Environment variables have a limit and hold no NUL byte. Standard input has the whole text.
    return value.replace("\0", "")[:10_000]


def _send(notice: Notice, limit: float) -> str | None:
    """Send a message in a process of its own, which can be killed if the service never answers."""
    given = json.dumps({"address": notice.recipient.address, "text": notice.text(),
                        "title": f"sshjobs {notice.fields()['run']} [{notice.id[:8]}]"})
    try:
        done = subprocess.run([sys.executable, "-c", _MESSENGER], input=given, capture_output=True, text=True,
                              timeout=limit, start_new_session=True, check=False)
    except subprocess.TimeoutExpired:
        return f"took longer than {limit:g} s, and was ended"
    # Its output is not shown: it may hold the address, and so a password.
    return {0: None, 3: "apprise does not know such an address", 4: "the service did not take it"}.get(
        done.returncode, "apprise failed")
