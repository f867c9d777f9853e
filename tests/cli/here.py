"""Our command in the process of the test: most of the time of a command is the start of Python."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
import threading

import pytest

from sshjobs.cli import main


def call_here(*words: str, input: str = "") -> subprocess.CompletedProcess[str]:
    """Carry out a command line in the present directory; return what it printed and its exit code."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(input.encode()), "utf-8"))
        patch.setattr(threading, "excepthook", threading.excepthook)
        code = main(words)
    told, said = (stream.buffer.getvalue().decode() for stream in (out, err))
    return subprocess.CompletedProcess(words, code, told, said)
