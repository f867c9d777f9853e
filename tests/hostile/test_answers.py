"""What hosts answer without an agent (``gc``, ``verify``, ``hosts check``, ``hosts install``), when they are hostile."""

from __future__ import annotations

import dataclasses
import json
import secrets
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from sshjobs.audit.garbage import Plan, Way
from sshjobs.audit.hosts import HostCheck
from sshjobs.cli.gc import _tell_kept
from sshjobs.cli.hosts_install import _answer
from sshjobs.errors import HostError
from sshjobs.gjob import ship
from sshjobs.model.host import Host
from sshjobs.network import traces
from sshjobs.network.oneshot import MOST_ANSWER, told_by
from sshjobs.network.traces import _swept, _traces, survey
from sshjobs.views.wording import MOST_TOLD
from tests.cli.here import call_here
from tests.hostile.far_side import WELCOME, line
from tests.hostile.scene import hostile_host

UID = "0" * 31 + "1"
ATTEMPT = {"id": "1.1", "state": "ended", "token": "t" * 32, "why": "exited", "status": 0, "signal": None, "out": 1, "err": 2}
DIRECTORY = {"run": UID, "host": "0" * 16, "base": "/h/.sshjobs", "agent": True, "boots": ["b"], "changed": 1.5, "files": 3, "left": 2, "kept": ["2.1"],
             "attempts": [ATTEMPT]}
PROCESS = {"pid": 7, "start": 8, "state": "S", "token": "t", "job": "j", "run": UID, "base": None, "user": None}
SURVEY = {"boot": "b", "clock": 2.5, "inputs": 0, "directories": [DIRECTORY], "processes": [PROCESS]}
SWEEP = {"processes": 1, "directories": 2, "files": 3, "doors": 4, "kept": [["/x", "busy"]]}
INSTALLED = {"did": "installed", "path": "/h/gjob", "version": "1", "old": None, "on_path": True, "python": "3.9.0"}
NUMBERS = ["-1", "1e400", "1" + "0" * 400, "NaN", "Infinity", "-Infinity", "true", '"1"', "1.5", str(2**63)]


def places_of(value: Any, wanted: type | tuple[type, ...], path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return where in an answer values of a kind are."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return [found for key, one in items for found in places_of(one, wanted, (*path, key))]
    return [path] if type(value) in (wanted if isinstance(wanted, tuple) else (wanted,)) else []


def texts_in(value: Any) -> list[str]:
    """Return every text of what an answer became."""
    if isinstance(value, str):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple | frozenset) else ()
    return [text for one in items for text in texts_in(one)]


def changed(value: Any, path: tuple[Any, ...], word: str) -> bytes:
    """Return an answer in which what is at a place is replaced by a word."""
    copy = json.loads(json.dumps(value))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = "@here@"
    return json.dumps(copy).replace('"@here@"', word).encode()


def test_good_answers_pass():
    told = told_by(Host("h"), (0, json.dumps(SURVEY).encode(), b""), _traces, "what is there")
    assert isinstance(told, traces.HostTraces)
    assert told.directories[0].attempts[0].uid == "1.1" and told.processes[0].pid == 7
    assert told.directories[0].idle == 1.0
    assert told_by(Host("h"), (0, json.dumps(SWEEP).encode(), b""), _swept, "what is there") == traces.Swept(1, 2, 3, 4, [("/x", "busy")])
    assert _answer(Host("h"), (0, json.dumps(INSTALLED).encode(), b"")).text() == "installed: /h/gjob"


@pytest.mark.parametrize("word", NUMBERS, ids=lambda word: word[:12])
@pytest.mark.parametrize(("answer", "taken"), [(SURVEY, _traces), (SWEEP, _swept)], ids=["survey", "sweep"])
def test_no_number_of_an_answer_is_unlimited(answer, taken, word):
    for path in places_of(answer, (int, float)):
        if word == "1.5" and path[-1] in ("clock", "changed"):
            continue
        told = told_by(Host("h"), (0, changed(answer, path, word), b""), taken, "what is there")
        assert isinstance(told, HostError) and told.kind == "nonsense", path
        assert len(str(told)) < 600


@pytest.mark.parametrize(("answer", "taken"), [(SURVEY, _traces), (SWEEP, _swept)], ids=["survey", "sweep"])
def test_texts_of_an_answer_are_cut_and_harmless(answer, taken):
    for path in places_of(answer, str):
        for text in ("", "x" * (1 << 20), "\x1b[2J\r\n\0\u202e\ud800"):
            told = told_by(Host("h"), (0, changed(answer, path, json.dumps(text)), b""), taken, "what is there")
            assert len(repr(told)) < 20_000
            texts = [str(told)] if isinstance(told, HostError) else texts_in(dataclasses.asdict(told))
            assert all(text.isprintable() for text in texts)


def test_what_the_status_of_an_answer_is_not_a_number_ends_nothing():
    for end in (b"soon", b"", b"-1", b"256", b"1" * 5000, "²".encode()):
        nonce = secrets.token_hex(16)
        answer = ship.Answer(nonce)
        answer.feed(b"\nSSHJOBS-READY %s\n" % nonce.encode())
        with pytest.raises(ship.Garbled):
            answer.feed(b"\0SSHJOBS-END %s %s\0" % (nonce.encode(), end))


@pytest.mark.parametrize("answer", [
    {"did": "nothing"}, {**INSTALLED, "did": "flown"}, {**INSTALLED, "path": 1}, {}, [], None, {**INSTALLED, "on_path": 1}])
def test_what_a_host_says_of_an_installation_is_checked(answer):
    told = _answer(Host("h"), (0, json.dumps(answer).encode(), b""))
    assert told.facts is None and "must not say" in told.text()


@pytest.mark.parametrize("part", [b"[],", b"{},", b'{"a":1},', b'"ab",', b"1.5,", b"[" * 100])
def test_what_an_answer_becomes_takes_less_than_32_mib(part):
    out = b'{"boot":"b","clock":1,"inputs":0,"processes":[],"directories":[' + part * (MOST_ANSWER // len(part)) + b"1]}"
    tracemalloc.start()
    try:
        assert isinstance(told_by(Host("h"), (0, out, b""), _traces, "what is there"), HostError)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


def test_a_host_with_ten_thousand_processes_can_be_asked():
    out = json.dumps({**SURVEY, "processes": [{**PROCESS, "pid": n + 1, "job": f"job-{n}"} for n in range(10_000)]}).encode()
    tracemalloc.start()
    try:
        told = told_by(Host("h"), (0, out, b""), _traces, "what is there")
        assert isinstance(told, traces.HostTraces) and len(told.processes) == 10_000
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


@pytest.fixture
def one_hostile_of_two(clean_home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def make(scenario: str, said: bytes = b"") -> Path:
        path = tmp_path / "hosts.txt"
        path.write_text(hostile_host(tmp_path, "bad", scenario, said) + "\ngood\n")
        return path
    return make


@pytest.mark.parametrize("scenario", ["answer", "banner"])
def test_an_answer_without_end_is_stopped_and_others_are_asked(scenario, one_hostile_of_two, tmp_path):
    one_hostile_of_two(scenario)
    hosts = [Host("bad", python=str(tmp_path / "far-bad")), Host("good")]
    tracemalloc.start()
    try:
        bad, good = survey(hosts, transport="local")
        assert tracemalloc.get_traced_memory()[1] < 40 << 20
    finally:
        tracemalloc.stop()
    assert isinstance(bad, HostError) and bad.kind == "nonsense" and "MiB" in str(bad)
    assert isinstance(good, traces.HostTraces)


@pytest.mark.parametrize(("key", "word"), [
    (key, word) for key in ("clock", "disk", "memory", "cores") for word in ("1" + "0" * 400, "Infinity", "-3")]
    + [("cores", "0"), ("cores", str(10**9))])
def test_hosts_check_names_a_host_that_cannot_be_and_shows_the_others(key, word, one_hostile_of_two):
    said = line({**WELCOME, key: "@here@"}).replace(b'"@here@"', word.encode())
    done = call_here("hosts", "check", "--hosts", str(one_hostile_of_two("say", said)), "--transport", "local")
    assert done.returncode == 1
    assert f"a welcome frame with a bad {key}" in done.stdout or "not a frame" in done.stdout
    assert any(text.startswith("good ") and " ok " in text for text in done.stdout.splitlines())


def test_of_what_a_host_claims_to_have_only_so_much_is_named(capsys):
    directory = {**DIRECTORY, "run": UID, "host": traces.host_key("h"), "base": "/h",
                 "attempts": [{**ATTEMPT, "id": f"{n + 1}.1"} for n in range(5000)]}
    told = told_by(Host("h"), (0, json.dumps({**SURVEY, "directories": [directory]}).encode(), b""), _traces, "what is there")
    assert isinstance(told, traces.HostTraces)
    found = list(HostCheck(UID, {"h": told}, attended=False, over=False, word="r").rest())
    assert len(found) == MOST_TOLD + 1
    assert "4,960 more attempts are there" in str(found[-1])
    _tell_kept(Plan(Host("h"), Way(), kept=[f"thing {n}" for n in range(5000)]))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == MOST_TOLD + 1 and lines[-1] == "kept on h: and 4,960 more things"


def test_gc_and_verify_end_well_where_a_host_ends_badly(one_hostile_of_two, tmp_path):
    hosts = one_hostile_of_two("garbled")
    done = call_here("gc", "--hosts", str(hosts), "--transport", "local")
    assert done.returncode == 1
    assert "bad: the host said what it must not say: an end without an exit status" in done.stderr
    assert "2 hosts" in done.stdout and "Traceback" not in done.stderr
