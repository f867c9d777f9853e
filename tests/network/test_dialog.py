"""What is told of a host's words, and what is said to hosts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sshjobs.model.spec import Job, JobSpec
from sshjobs.network.contract import Pulse, RunIdentity, Warned
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


def test_pulses_are_passed_on_now_and_then_and_tell_only_of_jobs_that_are_there() -> None:
    told: list[Any] = []
    book = HostBook("h1", OutputFiles(), told.append, lambda item: None)
    dialog = Dialog("h1", RunIdentity("0" * 32, "r", 1), book, lambda item: None, told.append, None)
    book.launch(LiveAttempt("1.1", Job(JobSpec(["true"], name="fit-7")), "t", Path("nowhere")))
    book.sent, book.received = 5, 7
    keys = {"load": 0.5, "memory": 1, "disk": 2, "gpus": [9], "gpu_memory": [None], "ids": ["1.1", "2.1"], "cpu": [1.0, 2.0],
            "rss": [4, 8]}
    for now in (0.0, 0.5, 9.0, 11.0):
        dialog.take(words.Link("0" * 32), words.Frame("pulse", {"t": "pulse", **keys}), now)
    assert told == 2 * [Pulse("h1", {"load": 0.5, "memory": 1, "disk": 2, "gpus": [9], "gpu_memory": [None],
                                     "jobs": {"1.1": (1.0, 4096)}, "sent": 5, "received": 7})]


def test_jobs_of_an_entry_are_launched_alike_until_somebody_changes_one() -> None:
    book = HostBook("h1", OutputFiles(), lambda event: None, lambda item: None)
    dialog = Dialog("h1", RunIdentity("0" * 32, "r", 1), book, lambda item: None, lambda event: None, None)
    first = JobSpec(["true"], name='"fit"', timeout=5.0)

    def said(spec: JobSpec) -> dict[str, Any]:
        link = words.Link("0" * 32)
        dialog.word_launch(link, LiveAttempt("1.1", Job(spec), "t", Path("nowhere")))
        frame: dict[str, Any] = json.loads(link.take())
        assert (frame["t"], frame["job"], frame["index"]) == ("launch", '"fit"', spec.index)
        return dict(frame["spec"])

    usual = {"script": "true\n", "strict": True, "login": False}
    assert said(first) == {**usual, "timeout": 5.0}
    first.timeout = 6.0
    assert said(first) == {**usual, "timeout": 6.0}
    second, third = first.named(first.name, 2), first.named(first.name, 3)
    assert said(second) == said(third) == {**usual, "timeout": 6.0}
    second.timeout = None
    assert said(second) == usual
    assert said(third) == said(first) == {**usual, "timeout": 6.0}
    first.env = {"A": "1"}
    assert said(first.named(first.name, 4)) == {**usual, "timeout": 6.0, "env": {"A": "1"}}
    assert said(third) == {**usual, "timeout": 6.0}
