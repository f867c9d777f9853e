"""The live view: it fits its screen whatever the run, and leaves the terminal in order."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from rich.cells import cell_len

from sshjobs.errors import EXIT_INTERRUPTED, EXIT_JOBS_FAILED
from sshjobs.views import expecting
from sshjobs.views.frame import Frame
from sshjobs.views.progress import Progress
from tests.cli import story
from tests.cli.terminal import Terminal, plain
from tests.conftest import sshjobs_argv
from tests.lab.waiting import wait_until

JOBFILE = """
jobs:
  - {name: bad, commands: ["echo 'ValueError: bad seed' >&2", exit 3]}
  - {name: "long", repeat: 20, commands: ['for i in $(seq 600); do test -e @/go && exit 0; sleep 0.1; done']}
"""


@pytest.fixture
def jobs(tmp_path: Path, clean_home: Path) -> Path:
    """A jobfile with a job that fails and twenty that wait for a file called go."""
    (tmp_path / "jobs.yaml").write_text(JOBFILE.replace("@", str(tmp_path)))
    return tmp_path


def make_progress(jobs: int = 40, hosts: int = 3, running: int = 5, failed: int = 4) -> Progress:
    progress = Progress(lambda: 100.0)
    names = [f"host-with-a-long-name-{n}" for n in range(hosts)]
    progress.take(story.run(jobs, names))
    for n, name in enumerate(names):
        progress.take(story.down(name) if n == 1 else story.up(name))
    for n in range(failed):
        progress.take(story.launch(f"bad-{n}", names[0]))
        progress.take(story.failed(f"bad-{n}", names[0]))
    for n in range(running):
        progress.take(story.launch(f"job-with-a-really-long-name-{n}", names[0]))
    if running > 1000:
        progress.take(story.change("started", "job-with-a-really-long-name-0", names[0]))
    return progress


@pytest.mark.parametrize("height", [1, 2, 3, 4, 5, 8, 12, 24, 60])
@pytest.mark.parametrize(("hosts", "running", "failed"), [(1, 0, 0), (3, 5, 4), (1000, 3000, 100)])
def test_the_block_fits_every_screen(height: int, hosts: int, running: int, failed: int) -> None:
    frame = Frame(make_progress(10_000, hosts, running, failed), lambda: 107.0)
    for width in (18, 40, 80, 200):
        lines = frame.lines(width, height)
        assert 1 <= len(lines) <= height
        assert not any("\n" in line.plain for line in lines)
        assert all(line.no_wrap and line.overflow == "ellipsis" or len(line.plain) <= width for line in lines)


def test_the_block_tells_counts_hosts_jobs_and_failures() -> None:
    lines = [line.plain for line in Frame(make_progress(), lambda: 107.0).lines(78, 24)]
    assert lines[0] == "r  4 of 40  0 ms"
    assert lines[1] == "━" * 78
    assert lines[2] == "0 done  4 error  5 busy  31 free"
    assert lines[3:6] == ["host-with-a-long-name-1  away 7.0 s  the connection was refused; do this",
                          "host-with-a-long-name-0  ━━━━━━━━━━      0/8  4 failed  5 launched",
                          "host-with-a-long-name-2  ━━━━━━━━━━      0/8"]
    assert lines[6] == "job-with-a-really-long-name-0  host-with…ng-name-0        7.0 s  launched"
    assert lines[-1] == "bad-3 on host-with…ng-name-0 exit 3 in 1.2 s"


@pytest.mark.parametrize("width", [40, 80, 200])
def test_columns_line_up_and_names_give_way_to_facts(width: int) -> None:
    progress = Progress(lambda: 100.0)
    names = ["h1", "a-host-with-quite-a-long-name", "gpu-07"]
    progress.take(story.run(1_000, names, directory=f"results/{'a-long-name-of-a-run-' * 6}9"))
    for name in names:
        progress.take(story.up(name))
    jobs = ["x", "train-learning-rate-0.001-batch-size-32-with-augmentation-seed-17", "größe-日本語のとても長い名前-3"]
    for job, host in zip(jobs, names, strict=True):
        progress.take(story.launch(job, host))
        progress.take(story.change("started", job, host))
    lines = Frame(progress, lambda: 164.0).lines(width - 2, 24)
    assert lines[0].plain.endswith("9  0 of 1,000  0 ms")
    shown = [line for line in lines if "1 min 4 s" in line.plain]
    assert len(shown) == 3, [line.plain for line in lines]
    assert len({cell_len(line.plain) for line in shown if not line.plain.endswith("launched")}) == 1
    for line, job, host in zip(shown, jobs, names, strict=True):
        assert line.cell_len <= width - 2
        assert line.plain.split()[0].startswith(job[:2].strip()) and job[-2:].strip() in line.plain
        assert host[-2:] in line.plain


def test_a_wide_screen_shows_more_jobs_side_by_side() -> None:
    lines = [line.plain for line in Frame(make_progress(9000, 3, 300, 0), lambda: 107.0).lines(198, 20)]
    assert sum(line.count("launched") for line in lines) > 36, "three in a line"
    assert all(len(line) <= 198 for line in lines)


def test_nothing_is_red_where_nothing_failed() -> None:
    counts = Frame(make_progress(failed=0), lambda: 107.0).lines(78, 24)[2]
    assert "0 error" in counts.plain
    assert not any("red" in str(span.style) for span in counts.spans)


def test_a_host_that_does_not_answer_says_so_before_it_is_away() -> None:
    progress = make_progress()
    progress.take({"event": "silent", "host": "host-with-a-long-name-0", "seconds": 5.0})
    assert "  silent for 12 s" in "\n".join(line.plain for line in Frame(progress, lambda: 107.0).lines(78, 24))
    progress.take({"event": "silent", "host": "host-with-a-long-name-0", "seconds": None})
    assert "silent" not in "\n".join(line.plain for line in Frame(progress, lambda: 107.0).lines(78, 24))


def test_what_does_not_fit_is_summed_up() -> None:
    lines = [line.plain for line in Frame(make_progress(9000, 1000, 3000, 0), lambda: 107.0).lines(78, 20)]
    assert "999 hosts up, 1/7,992 slots in use, 2,999 launched; 1 not" in lines, lines
    assert lines[3].startswith("host-with-a-long-name-1  away 7.0 s"), "the one in trouble is in sight"
    assert any(re.fullmatch(r"and 2,9\d\d more", line) for line in lines), lines


def paced(seconds: int, *, jobs: int = 1000, hosts: tuple[str, ...] = ("a",)) -> tuple[Progress, list[float]]:
    """A run in which a job ended each second; and its clock, to be turned."""
    now = [100.0]
    progress = Progress(lambda: now[0])
    progress.take(story.run(jobs, list(hosts)))
    for host in hosts:
        progress.take(story.up(host))
    for n in range(seconds):
        now[0] += 1.0
        progress.take(story.launch(f"j-{n}"))
        progress.take(story.change("started", f"j-{n}"))
        progress.take(story.done(f"j-{n}"))
    progress.take(story.launch("last"))
    return progress, now


def test_the_title_tells_the_rate_and_what_is_left_once_there_is_something_to_tell() -> None:
    assert "left" not in Frame(paced(2)[0], lambda: 107.0).lines(80, 24)[0].plain
    progress, now = paced(400)
    assert Frame(progress, lambda: now[0]).lines(80, 24)[0].plain == "r  400 of 1,000  6 min 40 s  1.0/s  some 10 min left"
    for width in (1, 18, 40, 50, 60):
        assert len(Frame(progress, lambda: now[0]).lines(width, 24)[0].plain) <= max(width, 20)
    # Jobs that end no more make the rate go down; nothing is promised of a run that is paused.
    now[0] += 400.0
    assert "  17.4/min" in Frame(progress, lambda: now[0]).lines(80, 24)[0].plain
    progress.take({"event": "pause", "paused": True, "jobs": None})
    assert "left" not in Frame(progress, lambda: now[0]).lines(80, 24)[0].plain


def test_the_title_tells_the_expected_end_as_p50_and_p90_as_far_as_there_is_room() -> None:
    progress, now = paced(400)
    progress.expect((600.0, 905.0))

    def title(width: int = 80) -> str:
        return Frame(progress, lambda: now[0]).lines(width, 24)[0].plain

    assert title() == "r  400 of 1,000  6 min 40 s  1.0/s  some 10 min left, p90 15 min"
    assert title(60).endswith("6 min 40 s  some 10 min left, p90 15 min")
    assert title(46).endswith("6 min 40 s  some 10 min left") and title(40).endswith("6 min 40 s  1.0/s")
    # It goes down with the clock, and what was foretold wrongly is not told as if it were past.
    now[0] += 300.0
    assert "some 5 min left, p90 10 min" in title()
    now[0] += 3000.0
    assert "some 5 s left" in title() and "p90" not in title()
    progress.take({"event": "pause", "paused": True, "jobs": None})
    assert "left" not in title()


def test_the_expected_end_is_asked_for_a_small_part_of_a_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    used, costs, pauses, told = [0.0], [0.001, 0.4, 2.0], list[float](), list[object]()

    def ask() -> tuple[float, float]:
        used[0] += costs.pop(0)
        return (1.0, 2.0)

    asking = expecting.Expecting(ask, told.append)

    def rest(seconds: float) -> bool:
        pauses.append(seconds)
        return len(pauses) > 3

    monkeypatch.setattr("sshjobs.views.expecting.time.thread_time", lambda: used[0])
    monkeypatch.setattr(asking._over, "wait", rest)
    asking.start()
    asking._thread.join()
    assert pauses == pytest.approx([3.0, 5.0, 40.0, 200.0]) and told == [(1.0, 2.0)] * 3


def test_a_terminal_is_told_when_the_run_is_expected_to_end(jobs: Path) -> None:
    (jobs / "jobs.yaml").write_text(JOBFILE.replace("@", str(jobs)) + "  - {name: short, repeat: 8, commands: ['true']}\n")
    with Terminal(sshjobs_argv(["run", "jobs.yaml", "--slots", "30"]), jobs, columns=100, rows=30) as terminal:
        terminal.read_until(lambda text: re.search(r"some \d.* left, p90 \d", plain(text)))
        (jobs / "go").touch()
        terminal.read_to_end()
        assert terminal.wait() == EXIT_JOBS_FAILED


def test_a_host_tells_what_it_does_and_that_it_is_drained() -> None:
    progress, now = paced(5, hosts=("a", "b"))
    progress.take({"event": "hosts", "change": "drained", "hosts": ["b"], "slots": None})
    lines = [line.plain for line in Frame(progress, lambda: now[0]).lines(80, 24)]
    assert lines[3:5] == ["a  ━━━━━━━━━━      0/8  1 launched  5 done", "b  ━━━━━━━━━━      0/8  drained"]
    progress.take({"event": "hosts", "change": "undrained", "hosts": ["b"], "slots": None})
    assert "drained" not in "\n".join(line.plain for line in Frame(progress, lambda: now[0]).lines(80, 24))


@pytest.mark.parametrize("hosts", [1, 2, 7, 40, 1000])
@pytest.mark.parametrize("width", [38, 78, 198])
def test_hosts_have_a_line_each_and_no_more_than_can_be_seen(hosts: int, width: int) -> None:
    progress = Progress(lambda: 100.0)
    names = [f"gpu-{n}" for n in range(hosts)]
    progress.take(story.run(9000, names))
    for name in names:
        progress.take(story.up(name))
        progress.take(story.change("started", f"of-{name}", name))
    for height in (8, 23, 49):
        lines = Frame(progress, lambda: 107.0).lines(width, height)
        assert all(line.cell_len <= width or line.overflow == "ellipsis" for line in lines)
        shown = sum(name in line.plain.split() for line in lines for name in names if "/8" in line.plain)
        assert shown == hosts or any(f"{hosts:,} hosts up, {hosts:,}/{8 * hosts:,} slots in use" in line.plain for line in lines)


def test_a_terminal_without_the_letters_gets_others() -> None:
    bar = Frame(make_progress(), lambda: 107.0).lines(40, 10, ascii_only=True)[1].plain
    assert set(bar) == {"#", "-"}


def test_an_interrupt_stays_in_sight() -> None:
    progress = make_progress()
    progress.take({"event": "interrupt", "reason": "Ctrl-C again cancels it"})
    for height in (4, 10, 24):
        assert Frame(progress, lambda: 107.0).lines(80, height)[-1].plain == "Ctrl-C again cancels it"


def test_a_terminal_gets_a_live_block_and_then_a_summary(jobs: Path) -> None:
    with Terminal(sshjobs_argv(["run", "jobs.yaml", "--slots", "2"]), jobs, columns=70, rows=20) as terminal:
        text = terminal.read_until(lambda text: "ValueError: bad seed" in text and "long-2  localhost" in text)
        assert "━" in text
        assert "\x1b[?25l" in text, "the cursor is hidden"
        shown = plain(text)
        assert re.search(r"0 done  1 error  \d+ busy  \d+ free", shown)
        (jobs / "go").touch()
        text = terminal.read_to_end()
        assert terminal.wait() == EXIT_JOBS_FAILED
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l"), "the cursor is back"
    summary = plain(text).splitlines()[-5:]
    assert summary[0].endswith("  bad on localhost: exit 3"), "the block is erased, so it begins a line"
    assert [line.rstrip() for line in summary[1:4]] == [
        "      ValueError: bad seed", "      results/jobs-1/jobs/bad/stderr",
        "outputs: results/jobs-1/jobs/<job>/stdout and stderr"]
    assert re.fullmatch(r"jobs-1 failed: 20 done, 1 error of 21 jobs in .*", summary[4])


def test_a_narrow_terminal_without_colours_is_fine(jobs: Path) -> None:
    (jobs / "go").touch()
    env = {**os.environ, "NO_COLOR": "1"}
    with Terminal(sshjobs_argv(["run", "jobs.yaml"]), jobs, columns=20, rows=6, env=env) as terminal:
        text = terminal.read_to_end()
        assert terminal.wait() == EXIT_JOBS_FAILED
    assert not re.search(r"\x1b\[(3[0-7]|9[0-7]|38;)", text)
    assert "Traceback" not in text


def test_a_dumb_terminal_gets_lines(jobs: Path) -> None:
    (jobs / "go").touch()
    argv = ["env", "TERM=dumb", *sshjobs_argv(["run", "jobs.yaml"])]
    with Terminal(argv, jobs) as terminal:
        text = terminal.read_to_end()
    assert "\x1b" not in text
    assert re.search(r"^\d\d:\d\d:\d\d launch long-1 on localhost", text, re.MULTILINE)


def test_ctrl_c_is_answered_on_the_screen(jobs: Path) -> None:
    with Terminal(sshjobs_argv(["run", "jobs.yaml", "--slots", "2"]), jobs, columns=100) as terminal:
        terminal.read_until(lambda text: "ValueError" in text and "long-2  localhost" in text)
        terminal.press_ctrl_c()
        terminal.read_until(lambda text: "launching nothing more, waiting for what runs; Ctrl-C again" in text)
        (jobs / "go").touch()
        text = plain(terminal.read_to_end())
        assert terminal.wait() == EXIT_INTERRUPTED
    # What was launched ahead is waited for too, so there may be nothing left to do.
    assert re.search(r"jobs-1 (interrupted|failed): \d+ done, 1 error(, \d+ free)? of 21 jobs", text)


def test_ctrl_z_stops_nothing_where_no_shell_could_let_it_go_on(jobs: Path) -> None:
    # The command leads its session, as one that a terminal emulator starts does.
    with Terminal(sshjobs_argv(["run", "jobs.yaml", "--slots", "2"]), jobs, columns=100) as terminal:
        terminal.read_until(lambda text: "ValueError" in text and "long-2 " in text)
        seen = len(terminal.text)
        terminal.press(b"\x1a")
        terminal.read_until(lambda text: "\x1b[?25h" in terminal.text[seen:] and "long-2 " in terminal.text[seen:])
        (jobs / "go").touch()
        terminal.read_to_end()
        assert terminal.wait() == EXIT_JOBS_FAILED


def test_the_run_goes_on_when_the_screen_is_gone(jobs: Path) -> None:
    (jobs / "go").touch()
    # The shell ignores the hang-up, as nohup does; then the terminal is closed under the run.
    words = " ".join(sshjobs_argv(["run", "jobs.yaml"]))
    with Terminal(["sh", "-c", f"trap '' HUP; {words}; echo $? > code"], jobs, kill=False) as terminal:
        terminal.read_until(lambda text: "jobs-1" in text)
    wait_until((jobs / "code").exists, 30, "the run has ended")
    wait_until(lambda: (jobs / "code").read_text(), 5, "its code is written")
    assert (jobs / "code").read_text() == f"{EXIT_JOBS_FAILED}\n"
