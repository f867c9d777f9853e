"""What a lease is, how often a manager is asked about it, and when it was last heard of: by themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from sshjobs.gjob import lease


@pytest.mark.parametrize(("seconds", "told"), [
    (60, "1m"), (59, "59s"), (61, "61s"), (3600, "1h"), (3540, "59m"), (3660, "61m"), (86400, "1d"), (90000, "25h"),
    (172800, "2d"), (0.5, "0.5s"), (90.5, "90.5s")])
def test_a_lease_is_told_in_the_largest_unit_that_fits(seconds: float, told: str) -> None:
    assert lease.words(seconds) == f"its lease of {told} ran out while no manager was there"
    assert lease.words(seconds, started=False).startswith(f"taken back before it started: its lease of {told} ")


def test_the_manager_is_asked_eight_times_in_the_shortest_lease_and_every_20_seconds_at_least(tmp_path: Path) -> None:
    leases = lease.Leases(lease.Heard(str(tmp_path / "heard")))
    assert leases.ask(100.0) is None and not leases
    leases.add("1.1", 800.0)
    leases.add("2.1", None)
    assert leases.ask(100.0) is not None and leases.ask(119.9) is None and leases.ask(120.0) is not None
    leases.add("3.1", 80.0)
    leases.ask_at = 0.0
    assert leases.ask(200.0) is not None and leases.ask(209.9) is None and leases.ask(210.0) is not None
    leases.drop("1.1")
    leases.drop("3.1")
    assert leases.ask(1000.0) is None and leases.of("3.1") is None and leases.covers("3.1")


def test_what_was_heard_outlives_the_one_who_heard_it_and_never_goes_back(tmp_path: Path) -> None:
    path = str(tmp_path / "heard")
    heard = lease.Heard(path)
    assert heard.at == lease.NEVER and not heard.covers(1e9)
    now = lease.clock()
    assert heard.note(now) is None and heard.note(now - 50) is None
    assert lease.Heard(path).at == pytest.approx(now, abs=1e-6)
    assert heard.covers(60.0) and not heard.covers(0.0)
    other = lease.Heard(path)
    assert other.note(now + 1) is None
    heard.refresh()
    assert heard.at == pytest.approx(now + 1, abs=1e-6)


def test_attempts_from_before_a_link_whose_lease_is_over_are_told_once(tmp_path: Path) -> None:
    leases = lease.Leases(lease.Heard(str(tmp_path / "heard")))
    for uid, seconds in (("1.1", 0.001), ("2.1", 1e6), ("3.1", 0.001)):
        leases.add(uid, seconds)
    leases.new_link()
    leases.drop("3.1")
    leases.add("4.1", 0.001)
    assert leases.renew(1.0)[0] == ["1.1", "2.1"], "nothing was heard since the boot"
    leases.new_link()
    assert leases.renew(lease.clock())[0] == ["1.1", "4.1"] and leases.renew(lease.clock())[0] == []
