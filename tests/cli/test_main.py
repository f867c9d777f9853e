"""How the process of a command ends: at once, but with everything said and done that was to be."""

from __future__ import annotations

import subprocess
import sys

import pytest


def ended(program: str) -> subprocess.CompletedProcess[str]:
    """Return how a program ended that leaves with exit code 3."""
    return subprocess.run([sys.executable, "-c", f"from sshjobs.__main__ import leave\n{program}\nleave(3)"],
                          capture_output=True, text=True, timeout=60, check=False)


def test_the_end_takes_nothing_apart() -> None:
    told = ended("class Held:\n    def __del__(self): print('taken apart')\nheld = Held()")
    assert (told.returncode, told.stdout, told.stderr) == (3, "", "")


def test_what_was_asked_for_at_the_end_is_done_and_printed() -> None:
    told = ended("import atexit; atexit.register(print, 'at last', end=''); print('before')")
    assert (told.returncode, told.stdout, told.stderr) == (3, "before\nat last", "")


def test_a_thread_that_is_at_work_is_waited_for() -> None:
    told = ended("import threading, time\nleaving = threading.Event()\n"
                 "def work():\n    leaving.wait()\n    print('done')\n"
                 "threading.Thread(target=work).start(); import atexit\n"
                 "threading._register_atexit(leaving.set)")
    assert (told.returncode, told.stdout, told.stderr) == (3, "done\n", "")


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_output_that_cannot_be_written_is_not_hidden(stream: str) -> None:
    told = ended(f"import sys; sys.{stream} = open('/dev/full', 'w'); sys.{stream}.write('lost')")
    # What Python ends with where its last words are lost.
    assert told.returncode == 120
