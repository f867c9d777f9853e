"""How hosts want to be treated, as people write it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest

from sshjobs.errors import InputError, UsageError
from sshjobs.inputs import manners
from sshjobs.inputs.hostfile import load_hosts
from sshjobs.model.host import Host
from sshjobs.model.spec import JobSpec
from sshjobs.network.session.attempts import launch_spec

#: 2026-11-30T12:00Z.
NOW = 1_796_040_000.0


@pytest.fixture(autouse=True)
def today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manners, "time", SimpleNamespace(time=lambda: NOW))


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    def put(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield put
    monkeypatch.undo()
    time.tzset()


def test_a_host_may_say_how_it_wants_to_be_treated() -> None:
    (host,) = load_hosts(["big max_load=7.5 min_free=8G only=20:00-08:00 at_end=stop until=2026-12-01T18:00Z nice=5"])
    assert host == Host("big", max_load=7.5, min_free=8 << 30, only=(1200, 480), at_end="stop",
                        until=NOW + 30 * 3600, nice=5)
    assert Host.from_dict(json.loads(json.dumps(asdict(host)))) == host


@pytest.mark.parametrize(("text", "minutes"), [
    ("00:00-24:00", None), ("9:00-17:30", (540, 1050)), ("22:00-24:00", (1320, 0)), ("0:00-0:01", (0, 1)), ("23:59-00:00", (1439, 0))])
def test_the_time_of_a_day_may_go_over_midnight(text: str, minutes: tuple[int, int] | None) -> None:
    if minutes is None:
        with pytest.raises(InputError, match="leave it out for the whole day"):
            load_hosts([f"h only={text}"])
    else:
        assert load_hosts([f"h only={text}"])[0].only == minutes


def test_the_end_of_a_loan_is_in_the_zone_of_this_machine_unless_it_says_another(zone: Callable[[str], None]) -> None:
    zone("Asia/Tokyo")
    texts = ("2026-12-01T18:00", "2026-12-01 18:00:00", "2026-12-01T18:00+02:00", "2026-12-01T18:00Z", "2026-12-01")
    assert [((load_hosts([f"h until='{text}'"])[0].until or 0) - NOW) / 3600 for text in texts] == [21, 21, 28, 30, 3]


MISTAKES = [
    ("max_load=-1", "max_load must be a load above 0, got '-1'; write max_load=8"),
    ("max_load=0", "max_load must be a load above 0, got '0'; write max_load=8"),
    ("max_load=nan", "max_load must be a load above 0, got 'nan'; write max_load=8"),
    ("max_load=1e9", "max_load must be a load above 0, got '1e9'; write max_load=8"),
    ("max_load=", "max_load must be a load above 0, got ''; write max_load=8"),
    ("min_free='8 potatoes'", "min_free must be a size, got '8 potatoes'; write 512M or 4G"),
    ("min_free=8", "min_free must be at least 1M, got 8 bytes; write a unit: 512M or 4G"),
    ("only=25:00", "only must be a time of the day, got '25:00'; write only=20:00-08:00"),
    ("only=25:00-08:00", "only cannot be '25:00-08:00': no day has 25:00; write only=20:00-08:00"),
    ("only=20:00-24:01", "only cannot be '20:00-24:01': no day has 24:01; write only=20:00-08:00"),
    ("only=24:00-08:00", "only cannot be '24:00-08:00': no day has 24:00; write only=20:00-08:00"),
    ("only=20:60-21:00", "only cannot be '20:60-21:00': no day has 20:60; write only=20:00-08:00"),
    ("only=20:00-20:00", "only cannot begin when it ends, got '20:00-20:00'; leave it out for the whole day"),
    ("at_end=maybe", "at_end must be one of finish, stop, pause, got 'maybe'"),
    ("until=2026-11-30T11:59Z", "until is over: 2026-11-30T11:59Z; leave the host out, or write when it is to be left"),
    ("until=tomorrow", "until must be a date and a time, got 'tomorrow'; write until=2026-12-01T18:00, with Z or +02:00 behind it "
                       "where that is not the time of this machine"),
    ("until=2026-13-01T18:00", "until must be a date and a time, got '2026-13-01T18:00'; write until=2026-12-01T18:00, with Z or "
                               "+02:00 behind it where that is not the time of this machine"),
    ("nice=99", "nice must be a number from 0 to 19, got '99'"),
    ("nice=-5", "nice must be a number from 0 to 19, got '-5'"),
    ("nice=1 nice=2", "nice= is given twice; keep one of them"),
]


@pytest.mark.parametrize(("word", "expected"), MISTAKES)
def test_a_bad_manner_is_one_line_with_its_place(tmp_path: Path, word: str, expected: str) -> None:
    file = tmp_path / "hosts.txt"
    file.write_text(f"good\nbad slots=2 {word}\n")
    with pytest.raises(InputError) as raised:
        load_hosts(str(file))
    column = 20 if "twice" in expected else 13
    assert str(raised.value).splitlines() == [f"{file}:2:{column}: {expected}"]


def test_jobs_are_as_nice_as_their_host_wants_unless_they_say_more() -> None:
    host = Host("h", nice=5)
    assert launch_spec(JobSpec(["true"]), host)["nice"] == 5
    assert launch_spec(JobSpec(["true"], nice=3), host)["nice"] == 3
    assert "nice" not in launch_spec(JobSpec(["true"]), Host("h"))


def test_a_name_of_a_manner_is_no_tag_of_a_list_of_hosts() -> None:
    with pytest.raises((InputError, UsageError), match="no option"):
        load_hosts("h max_load")
