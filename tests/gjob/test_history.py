"""What journals say is taken in whole, whatever fails while they are read."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sshjobs.gjob import procs, system
from sshjobs.gjob.agent.attempts import History
from sshjobs.gjob.journal import record
from sshjobs.gjob.places import Places

CALLS = "open", "fstat", "pread", "close", "lstat", "stat"


class Failing:
    """Lets the n-th system call from now on fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.left = 0
        for name in filter(lambda name: hasattr(system, name), CALLS):
            monkeypatch.setattr(system, name, self._wrapped(getattr(system, name)))

    def _wrapped(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **keys: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            return real(*args, **keys)
        return call


@pytest.mark.parametrize("number", range(1, 13))
def test_a_record_is_not_lost_when_a_call_fails_while_it_is_read(number: int, tmp_path: Path,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    places = Places(str(tmp_path / "root"), "r" * 32, "h" * 16)
    for directory in (places.journals, places.work, places.outputs, places.blobs):
        os.makedirs(directory)
    history = History(places)
    here = procs.identity()
    path = Path(places.journals, "7.log")
    path.write_bytes(b"".join(record(text.encode()) for text in (
        f'{{"k":"runner","runner":{os.getpid()},"rstart":1,"boot":"{here}"}}',
        f'{{"k":"claim","id":"1.1","token":"t","runner":1,"rstart":1,"boot":"{here}","keep":false,"until":null}}',
        '{"k":"start","id":"1.1","pid":11,"start":11,"at":1.0}')))
    failing = Failing(monkeypatch)
    failing.left = number
    try:
        history.read(str(path))
    except OSError:
        history.read(str(path))
    assert history.records["1.1"].keys() == {"claim", "start"}
