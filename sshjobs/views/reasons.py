"""Describes why jobs failed and what they wait for: a line for each kind of failure, or everything about one job."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from sshjobs.diagnosis.blame import Common
from sshjobs.diagnosis.ends import WORDS, Diagnosis, End
from sshjobs.diagnosis.groups import MOST_NAMES, Kind
from sshjobs.diagnosis.onejob import AttemptTold, JobTold
from sshjobs.errors import printable
from sshjobs.model.causes import EndCause
from sshjobs.views import wording
from sshjobs.views.base import nearest_path

#: How many kinds are printed, unless all are asked for.
MOST_KINDS = 40
#: How many of the last lines of an attempt are printed.
MOST_SHOWN = 5
#: How many jobs of a kind, hosts, and values are named.
NAMED = 3
#: The version of the JSON documents.
VERSION = 1
#: The causes whose words say no more than the outcome does.
_PLAIN = frozenset((EndCause.EXIT, EndCause.SIGNAL))
#: The causes for which the evidence is shown, not a line of the output.
_BY_SOMEBODY = frozenset((EndCause.CANCELLED, EndCause.SKIPPED, EndCause.SETUP_FAILED))


# -- kinds of failures -------------------------------------------------------------------------------------------------

def kind_line(kind: Kind, common: Sequence[Common]) -> str:
    """Describe a kind of failures in one line."""
    number = f"{kind.number:,} × {_headline(kind)}"
    names = ", ".join(kind.names[:NAMED]) + (f" and {kind.number - NAMED:,} more" if kind.number > NAMED else "")
    again = f"; {kind.again:,} of them tried again" if kind.again else ""
    return printable(f"{number} ({names}){again}{_shared(kind, common)}")


def _headline(kind: Kind) -> str:
    found = kind.diagnosis
    words = kind.ending if found.cause in _PLAIN and found.proved else found.words
    if found.cause is EndCause.SIGNAL and not found.proved:
        return f"{words}: {found.evidence}"
    said = None if found.cause is EndCause.SETUP_FAILED else kind.said
    said = said or (found.evidence if found.cause in _BY_SOMEBODY else kind.line)
    if said is None or said == words:
        return words if found.proved else f"{words}: {found.evidence}"
    return f"{words}: each says something else, such as: {said}" if kind.scattered else f"{words}: {said}"


def _shared(kind: Kind, common: Sequence[Common]) -> str:
    """Describe what the failures have in common, and what is to blame."""
    if kind.number < 2:
        where = next(iter(kind.hosts), None)
        return f", on {where}" if where else ""
    told = [_common_words(one) for one in common]
    blamed = [one.value if one.what == "host" else f"{one.what}={one.value}" for one in common
              if one.is_to_blame(kind.number)]
    if not any(one.what == "host" for one in common) and len(kind.hosts) > 1:
        told.append(f"on {_few(sorted(host for host, _ in kind.hosts.most_common(NAMED)), len(kind.hosts))}")
    text = "".join(f", {one}" for one in told)
    if len(blamed) > 1:
        return f"{text}: blame {' or '.join(blamed)}"
    return f"{text}: blame {blamed[0]}" if blamed else text


def _common_words(one: Common) -> str:
    if one.what != "host":
        passed = f"; {_passed(one.passed_with)} with it" if one.passed_with else "; none passed with it"
        return f"all with {one.what}={one.value}{passed}"
    if one.elsewhere and not one.passed_with:
        return f"all on {one.value}; {_same(one)} passed on {', '.join(one.elsewhere)}"
    if one.passed_with:
        return f"all on {one.value}; {_passed(one.passed_with)} there"
    return f"all on {one.value}" + (f"; {_passed(one.passed_without)} elsewhere, none there"
                                    if one.passed_without else "")


def _same(one: Common) -> str:
    return "the same parameters" if one.has_parameters else "the same"


def _passed(number: int) -> str:
    return f"{number:,} passed"


def _few(names: Sequence[str], number: int) -> str:
    return ", ".join(names) + (f" and {number - len(names):,} more" if number > len(names) else "")


def kinds_document(kinds: Sequence[Kind], common: Sequence[Sequence[Common]]) -> list[dict[str, Any]]:
    """Return kinds of failures as data for JSON."""
    return [{
        "count": kind.number, "tried_again": kind.again, "cause": kind.diagnosis.cause.value,
        "proved": kind.diagnosis.proved, "evidence": kind.diagnosis.evidence, "ending": kind.ending,
        "line": kind.line, "scattered": kind.scattered, "jobs": kind.names[:MOST_NAMES], "hosts": dict(kind.hosts),
        "common": [{"what": one.what, "value": one.value, "passed_with": one.passed_with,
                    "passed_without": one.passed_without, "same_passed_on": list(one.elsewhere),
                    "blamed": kind.number > 1 and one.is_to_blame(kind.number)} for one in shared],
    } for kind, shared in zip(kinds, common, strict=True)]


# -- one job -----------------------------------------------------------------------------------------------------------

def job_lines(told: JobTold, word: str) -> Iterator[str]:
    """Yield the lines that describe a job.

    :param word: what to type for the run
    """
    for line in _job_lines(told, word):
        yield printable(line)


def _job_lines(told: JobTold, word: str) -> Iterator[str]:
    row = told.row
    yield f"{row.name} {_standing(told)}"
    for setup in told.setups:
        yield from attempt_lines(setup)
    if told.left_out:
        yield f"  {wording.count(told.left_out, 'attempt')} before these"
    for attempt in told.attempts:
        yield from attempt_lines(attempt)
    if told.common:
        yield f"  different from those that passed: {'; '.join(map(_difference, told.common))}"
    if told.waits is not None and told.attempts:
        yield f"  waits: {told.waits.words}"
    if told.diagnosis is not None and told.diagnosis.cause is not EndCause.SKIPPED:
        yield f"  all that it wrote: sshjobs logs {word} {_quoted(row.name)}"


def _standing(told: JobTold) -> str:
    row = told.row
    if told.waits is not None and row.state == "busy":
        return f"waits on {row.host}"
    if told.waits is not None:
        return "waits to be tried again" if told.attempts else f"waits: {told.waits.words}"
    if told.diagnosis is not None:
        found = told.diagnosis
        text = found.words if found.cause not in _PLAIN else wording.ending(row.outcome, row.exit_status, row.signal,
                                                                            None)
        return f"{row.state}: {text}" + ("" if told.attempts else f": {found.evidence}")
    if row.state == "done":
        origin = "" if told.attempts else f" {row.reason}" if row.reason else ""
        return f"is done{origin}"
    if row.paused:
        return "is paused by a person, where it is"
    return f"runs on {row.host}" if row.state == "busy" else f"is unknown: {row.host} cannot be asked"


def attempt_lines(attempt: AttemptTold) -> Iterator[str]:
    """Yield the lines that describe an attempt, or the setup of a host."""
    end, found = attempt.end, attempt.diagnosis
    took = ""
    if attempt.started is not None:
        took = f", {wording.duration((attempt.ended or time.time()) - attempt.started)}"
    where = attempt.what if attempt.what.endswith(f"@{attempt.host}") else f"{attempt.what} on {attempt.host}"
    if found is None:
        how = wording.ending(end.outcome, end.exit_status, end.signal, None) if end.outcome else attempt.state
        yield f"  {where}{took}: {how}"
        return
    yield f"  {where}{took}: {cause_words(found, blamed=attempt.blamed)}"
    for line in attempt.lines[-MOST_SHOWN:]:
        yield f"      | {line}"
    if attempt.file is not None:
        yield f"      {nearest_path(attempt.file)}"
    for stream in ("stdout", "stderr"):
        if attempt.left_out is not None and (number := attempt.left_out.of(stream)):
            yield f"      {wording.bytes_left_out(number, stream, attempt.left_out.at)}"


def cause_words(found: Diagnosis, *, blamed: bool = False) -> str:
    """Return why something ended so: the cause, and what shows it.

    :param blamed: the host was found to be at fault, not the job
    """
    evidence = "" if found.evidence == found.words else f": {found.evidence}"
    words = found.words if found.cause not in _PLAIN or not found.proved else WORDS[found.cause]
    return f"{words}{evidence}" + ("; the host's fault, not the job's" if blamed else "")


def beside_the_outcome(end: End, found: Diagnosis, *, blamed: bool = False) -> str | None:
    """Return the same where outcome and status are told already; ``None`` where these say it all."""
    return end.explained if found.proved and found.cause in _PLAIN else cause_words(found, blamed=blamed)


def _difference(one: Common) -> str:
    if one.what == "host":
        same = f", {_same(one)} on {', '.join(one.elsewhere)}" if one.elsewhere else ""
        return f"{wording.count(one.passed_without, 'job')} passed elsewhere{same}, none on {one.value}"
    return f"{wording.count(one.passed_without, 'job')} passed with another {one.what}, none with {one.value}"


def _quoted(name: str) -> str:
    from shlex import quote

    return quote(name)


def job_document(told: JobTold) -> dict[str, Any]:
    """Return what is known about a job as data for JSON."""
    row, found = told.row, told.diagnosis
    return {
        "job": row.name, "state": row.state, "outcome": row.outcome,
        "cause": found and found.cause.value, "proved": found and found.proved, "evidence": found and found.evidence,
        "waits": None if told.waits is None else {"for": told.waits.what.value, "words": told.waits.words,
                                                      "hosts": [one._asdict() for one in told.waits.hosts]},
        "attempts": list(map(attempt_document, told.attempts)), "left_out": told.left_out,
        "setups": list(map(attempt_document, told.setups)),
        "different": [{"what": one.what, "value": one.value, "passed_without": one.passed_without,
                       "same_passed_on": list(one.elsewhere)} for one in told.common],
    }


def attempt_document(attempt: AttemptTold) -> dict[str, Any]:
    """Return what is known about an attempt or a setup as data for JSON."""
    end, found = attempt.end, attempt.diagnosis
    return {"n": attempt.n, "host": attempt.host, "state": attempt.state, "outcome": end.outcome,
            "exit_status": end.exit_status, "signal": end.signal, "started": attempt.started, "ended": attempt.ended,
            "cause": found and found.cause.value, "proved": found and found.proved,
            "evidence": found and found.evidence, "hosts_fault": attempt.blamed, "lines": attempt.lines,
            "file": None if attempt.file is None else str(attempt.file),
            **({} if attempt.left_out is None else {"left_out": attempt.left_out._asdict()})}
