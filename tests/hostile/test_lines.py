"""How much is printed because of one host."""

from __future__ import annotations

import io
import json

from sshjobs.model.host import Host
from sshjobs.network.transport.causes import LONGEST_LINE, said_by_host
from sshjobs.views.base import Event, Output
from sshjobs.views.hostnews import MOST_LINES
from sshjobs.views.jsonlines import JsonLines
from sshjobs.views.lines import Lines


def told(*events: Event) -> list[str]:
    output = io.StringIO()
    view = Lines(Output(output, lambda text: None), handle=str)
    view({"event": "run", "run": "r", "directory": "d", "jobs": 1, "counts": {"free": 0, "busy": 10_000, "unknown": 0, "done": 0, "error": 0}, "hosts": ["h", "other"]})
    for event in events:
        view(event)
    return output.getvalue().splitlines()[1:]


def host(name: str, state: str, reason: str = "it broke") -> Event:
    return {"event": "host", "host": name, "state": state, "facts": {"cores": 1}, "kind": "link-lost", "reason": reason, "slots": 1}


def test_a_host_that_comes_and_goes_without_end_does_not_bury_what_others_say():
    lines = told(*[host("h", state) for _ in range(1000) for state in ("up", "away")], host("other", "up"))
    assert len(lines) == MOST_LINES + 1
    assert "no more is told of it" in lines[-2] and "other" in lines[-1]


def test_that_nobody_tries_a_host_any_more_is_told_all_the_same():
    gone = {**host("h", "blocked", "h: the host said what it must not say"), "kind": "nonsense"}
    lines = told(*[host("h", state) for _ in range(1000) for state in ("up", "away")], gone)
    assert lines[-1].endswith("blocked h: the host said what it must not say")


def test_of_many_jobs_that_a_host_takes_along_each_time_only_so_many_are_told():
    away = [{"event": "unknown", "job": f"job-{n}", "host": "h", "state": "unknown", "attempts": 1} for n in range(10_000)]
    assert len(told(host("h", "up"), *away)) == MOST_LINES


def printed(*events: Event) -> list[Event]:
    output = io.StringIO()
    view = JsonLines(Output(output, lambda text: None))
    for event in events:
        view(event)
    return [json.loads(line) for line in output.getvalue().splitlines()]


def of_job(event: str, n: int) -> Event:
    return {"event": event, "job": f"job-{n}", "host": "h", "state": event, "attempts": 1}


def test_events_of_a_host_that_comes_and_goes_without_end_are_bounded_and_none_of_another_is_missing():
    jobs = range(8)
    flaps = [event for _ in range(1000) for event in (
        host("h", "away"), *(of_job("unknown", n) for n in jobs), host("h", "up"), *(of_job("started", n) for n in jobs))]
    lines = printed(*(of_job("started", n) for n in jobs), *flaps, host("other", "up"), *(of_job("done", n) for n in jobs),
                    {**host("h", "blocked"), "kind": "nonsense"})
    assert len(lines) <= len(jobs) + (MOST_LINES + 1) * (1 + len(jobs)) + 1 + len(jobs) + 1
    assert [line["event"] for line in lines].count("done") == len(jobs)
    assert lines[-1]["state"] == "blocked" and [line for line in lines if line.get("host") == "other"]
    (last,) = [line for line in lines if line["event"] == "warning"]
    assert last["host"] == "h" and "no more is told of it" in last["reason"]


def test_a_new_attempt_on_a_host_of_which_no_more_is_told_is_told():
    flaps = [event for _ in range(100) for event in (host("h", "away"), of_job("unknown", 1), host("h", "up"), of_job("started", 1))]
    lines = printed(*flaps, host("h", "away"), of_job("unknown", 1), of_job("retry", 1), of_job("launch", 1), of_job("started", 1))
    assert [line["event"] for line in lines[-3:]] == ["retry", "launch", "started"]


def test_a_long_line_of_a_host_is_looked_at_as_far_as_a_person_would():
    cause = "python3: command not found"
    assert said_by_host(Host("h"), "x" * LONGEST_LINE + cause) is None
    found = said_by_host(Host("h"), f"{cause}\n" + "python: " * 10_000)
    assert found is None or found.kind == "no-python"
