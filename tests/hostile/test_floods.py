"""A host that says something again and again: others go on, it is named, and what it costs is bounded."""

from __future__ import annotations

import pytest

from tests.hostile.scene import FRAMES, UID, flood, hostile_host, run_among

#: How often it is said. An agent that has lost its mind says it for ever; so often takes longer than until it is noticed.
TIMES = "200000"
#: What a host may cost: bytes of memory, and lines.
MEMORY, LINES = 32 << 20, 100


@pytest.fixture(scope="module")
def usual_memory(tmp_path_factory: pytest.TempPathFactory) -> int:
    """What a manager takes whose further host says what it should, and nothing else."""
    directory = tmp_path_factory.mktemp("usual")
    return run_among(directory, [hostile_host(directory, "quiet", "say", flood("pong"))]).resident


@pytest.mark.parametrize("frame", ["state", "warn", "long-warn", "ended", "lease", "absent"])
def test_a_flood_costs_little_memory_and_few_lines_and_ctrl_c_is_heard(frame, usual_memory, tmp_path):
    host = hostile_host(tmp_path, "bad", "repeat", flood(frame), TIMES)
    cost = run_among(tmp_path, [host], named=["bad"])
    assert cost.code in (1, 130), cost.printed[-3000:]
    assert cost.resident < usual_memory + MEMORY
    assert len(cost.lines_of("bad")) <= LINES
    assert "Traceback" not in cost.printed


@pytest.mark.parametrize(("scenario", "more"), [("drip", (UID, TIMES)), ("line", ("''", TIMES)), ("stderr", ("''", TIMES))])
def test_what_is_no_flood_of_frames_costs_little_either(scenario, more, usual_memory, tmp_path):
    cost = run_among(tmp_path, [hostile_host(tmp_path, "bad", scenario, b"", *more)])
    assert cost.resident < usual_memory + MEMORY
    assert len(cost.lines_of("bad")) <= LINES


def test_whatever_hosts_say_again_and_again_each_is_named_and_others_do_their_jobs(tmp_path):
    bad = {f"bad-{name}": name for name in (*FRAMES, "banner")}
    hosts = [hostile_host(tmp_path, host, "repeat", flood(name), TIMES) if name in FRAMES else
             hostile_host(tmp_path, host, name, b"", "''", TIMES) for host, name in bad.items()]
    cost = run_among(tmp_path, hosts, named=bad)
    for host in bad:
        assert len(cost.lines_of(host)) <= LINES
    assert "Traceback" not in cost.printed
