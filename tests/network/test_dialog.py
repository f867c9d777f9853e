"""What is told of a host's words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sshjobs.model.spec import Job, JobSpec
from sshjobs.network.contract import RunIdentity, Warned
from sshjobs.network.protocol import link as words
from sshjobs.network.session.attempts import LiveAttempt
from sshjobs.network.session.book import HostBook
from sshjobs.network.session.dialog import Dialog
from sshjobs.network.session.output_files import OutputFiles


def test_what_cannot_be_killed_is_told_by_job_host_and_pid() -> None:
    told: list[Any] = []
    book = HostBook("h1", OutputFiles(), told.append, lambda item: None)
    dialog = Dialog("h1", RunIdentity("0" * 32, "r", 1), book, lambda item: None, told.append, None)
    book.launch(LiveAttempt("1.1", Job(JobSpec(["true"], name="fit-7")), "t", Path("nowhere")))
    for uid in ("1.1", "2.1"):
        dialog.take(words.Link("0" * 32), words.Frame("stuck", {"t": "stuck", "id": uid, "pids": [12, 13, "\x1b"]}), 0.0)
    assert told == [
        Warned("h1", f"processes of {name} cannot be killed: 12, 13; its slot stays taken until they are gone")
        for name in ("fit-7", "attempt 2.1")]
