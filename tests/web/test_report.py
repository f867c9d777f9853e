"""The report of a run in Chromium: one file, safe whatever stands in the run, small and quick for 100,000 jobs."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sshjobs.errors import EXIT_OK, EXIT_USAGE, StoreError
from sshjobs.report import packing
from sshjobs.report.writing import write_report
from sshjobs.store.rundir import RunPaths
from tests.cli.runs import edit
from tests.conftest import SshjobsCli
from tests.hints import tries
from tests.web.scale import make_big
from tests.web.spellings import SPELLINGS, hostile_run

#: Bytes that a report of 100,000 jobs may have.
MOST_BYTES = 3_000_000


@pytest.fixture
def report(results: Path, tmp_path: Path) -> Path:
    """The report of a run with jobs of all states, parameters, results and a jobfile."""
    paths = RunPaths(results, "sweep-1")
    paths.jobfile.write_text("jobs:\n\t- {name: fit}  # \u202e <b>&amp;\n")
    write_report(paths, tmp_path / "report.html")
    return tmp_path / "report.html"


@pytest.fixture
def show(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Open a report in a browser; what it complains of or asks anybody for is in ``page.wrong``."""
    contexts = []

    def open_(path: Path, **settings: Any) -> Any:
        contexts.append(chromium.new_context(**settings))
        page = contexts[-1].new_page()
        page.wrong = []
        page.on("pageerror", lambda error: page.wrong.append(str(error)))
        page.on("console", lambda message: page.wrong.append(message.text) if message.type in ("error", "warning") else None)
        page.on("request", lambda request: None if request.url == path.as_uri() else page.wrong.append(request.url))
        page.on("dialog", lambda dialog: (page.wrong.append(dialog.message), dialog.dismiss()))
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]", timeout=60_000)
        return page

    yield open_
    for context in contexts:
        context.close()


def cells(page: Any, table: str, n: int) -> list[str]:
    return [text.strip() for text in page.locator(f"#{table} tbody tr td:nth-child({n})").all_text_contents()]


def test_a_report_tells_all_that_is_known_of_a_run(report: Path, show: Callable[..., Any]) -> None:
    page = show(report)
    assert page.locator("h1").text_content().startswith("sweep-1 ")
    assert page.locator(".cards").inner_text().split("\n")[:2] == ["20", "jobs"]
    assert page.locator("h2").all_text_contents() == ["Timeline", "Hosts", "Failures", "Durations", "Results", "Jobfile", "Versions"]
    assert cells(page, "hosts", 1) == ["a", "b"] and cells(page, "hosts", 5) == ["0", "1"]
    assert cells(page, "failures", 1) == ["1"] and cells(page, "failures", 4) == ["no such thing"]
    assert cells(page, "failures", 2) == ["exit 3"] and cells(page, "failures", 5) == ["1 × b"]
    assert page.locator("h3").all_text_contents() == ["by entry"], "each job is its own entry here"
    assert len(cells(page, "results", 1)) == 20 and "0.25" in page.locator("#results").inner_text()
    page.locator("summary").click()
    assert page.locator("pre").text_content() == "jobs:\n    - {name: fit}  # \\u202e <b>&amp;\n"
    assert "sshjobs" in page.locator("dl").inner_text()
    assert page.wrong == []


def test_the_table_is_filtered_sorted_and_turned_over(show: Callable[..., Any], tmp_path: Path) -> None:
    show_page = show(made(tmp_path, 250))
    assert show_page.locator("#found").text_content() == "1 to 100 of 250"
    show_page.get_by_role("button", name="After").click()
    assert cells(show_page, "results", 1)[0] == "job-101" and show_page.locator("#found").text_content() == "101 to 200 of 250"
    show_page.get_by_role("button", name="seed", exact=True).click()
    show_page.get_by_role("button", name="seed", exact=True).click()
    assert cells(show_page, "results", 1)[:2] == ["job-250", "job-249"], "numbers are sorted as numbers"
    show_page.get_by_label("Rows with").fill("failed h050")
    assert cells(show_page, "results", 1) == ["job-250", "job-150", "job-50"]
    show_page.get_by_label("Rows with").fill("nothing of the kind")
    assert show_page.locator("#found").text_content() == "no row"
    assert show_page.wrong == []


def test_the_timeline_says_what_is_under_the_pointer_and_zooms(show: Callable[..., Any], tmp_path: Path) -> None:
    page = show(made(tmp_path, 250))
    page.locator("#timeline").hover(position={"x": 480, "y": 9})
    assert re.match(r"job-\d+ on h000: failed, 1\.1 s, from ", page.locator("#under").text_content())
    before = page.evaluate("document.getElementById('timeline').toDataURL()")
    page.get_by_role("button", name="Zoom in").click()
    assert page.evaluate("document.getElementById('timeline').toDataURL()") != before
    page.get_by_role("button", name="Whole run").click()
    assert page.evaluate("document.getElementById('timeline').toDataURL()") == before
    assert page.wrong == []


def made(where: Path, jobs: int) -> Path:
    """The report of a run of so many jobs on a hundred hosts."""
    write_report(make_big(where / "results", jobs), where / "report.html")
    return where / "report.html"


def test_durations_are_told_by_parameter_and_values_that_tell_nothing_are_left_out(show: Callable[..., Any], tmp_path: Path) -> None:
    page = show(made(tmp_path, 2_000))
    assert page.locator("h3").all_text_contents() == ["by entry", "job: lr", "job: batch"]
    assert cells(page, "durations-1", 1) == ["0", *(f"0.{n}" for n in range(1, 10))] or cells(page, "durations-1", 1)[0] == "0.0"
    assert cells(page, "durations-1", 2) == ["200"] * 10
    assert len(cells(page, "durations-2", 1)) == 24
    assert "104 more, whose jobs took less time in all" in page.locator("main").inner_text()
    assert "1 more parameter: with one value, or nearly as many as jobs" in page.locator("main").inner_text()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_hundred_thousand_jobs_are_at_most_three_megabytes(show: Callable[..., Any], tmp_path: Path) -> None:
    report = made(tmp_path, 100_000)
    assert report.stat().st_size <= MOST_BYTES
    page = show(report)
    took = int(page.evaluate("document.documentElement.dataset.ready")) / 1000
    assert page.wrong == [] and page.locator("#found").text_content() == "1 to 100 of 100,000"
    assert page.evaluate("JSON.parse(document.getElementById('timeline-head').textContent).n") == 100_000
    print(f"{report.stat().st_size:,} bytes, loaded in {took:.2f} s")


def test_what_has_no_room_is_said_and_what_failed_stays(show: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "MOST_TABLE", 4_000)
    monkeypatch.setattr(packing, "MOST_SPANS", 1_000)
    monkeypatch.setattr(packing, "MOST_HOSTS", 40)
    page = show(made(tmp_path, 2_000))
    told = page.locator(".left-out").all_text_contents()
    assert told[0] == ("The run has 2,000 attempts, too many to draw them one by one: it is drawn how many ran at a time on each host. "
                       "Of 100 hosts the first 40 are drawn.")
    kept = int(page.evaluate("JSON.parse(document.getElementById('table-head').textContent).n"))
    assert 40 <= kept < 2_000 and f"The table holds {kept:,} of 2,000 jobs: those that failed come before others." in told
    page.get_by_label("Rows with").fill("failed")
    assert page.locator("#found").text_content() == "1 to 40 of 40", "all that failed are there"
    page.locator("#timeline").hover(position={"x": 300, "y": 9})
    assert re.match(r"h000: \d+\.\d at a time, \d+ failed, ", page.locator("#under").text_content())
    assert page.wrong == []


@pytest.mark.parametrize("part", range(2))
def test_hostile_words_are_text_and_nothing_else(show: Callable[..., Any], tmp_path: Path, part: int) -> None:
    spellings = SPELLINGS[part::2]
    paths, _ = hostile_run(tmp_path / "results", spellings)
    write_report(paths, tmp_path / "report.html")
    raw = (tmp_path / "report.html").read_text()
    page = show(tmp_path / "report.html")
    shown = [spelling.encode("unicode_escape").decode() if any(ord(one) > 126 for one in spelling) and re.search("[\u200b-\u202e]", spelling)
             else spelling for spelling in spellings]
    assert [one for one in shown if one.strip() and one.strip() not in cells(page, "hosts", 1)] == []
    texts = page.locator("#results").inner_text()
    assert [one for one in spellings if one.isascii() and one.strip() and len(one) < 100 and one not in texts] == []
    page.locator("summary").click()
    page.get_by_label("Rows with").fill(spellings[3])
    # Whatever is in the page is of the kinds that we make, and no attribute of it runs anything or leads anywhere.
    assert page.evaluate("""() => [...document.body.querySelectorAll('*')].filter(one =>
        /^(iframe|object|embed|link|base|meta|form|svg|math|template|video|img|a|style)$/i.test(one.localName) ||
        one.localName === 'script' && one.type !== 'application/json' && one.type !== 'application/octet-stream' && one !== document.scripts[document.scripts.length - 1] ||
        [...one.attributes].some(a => /^on/i.test(a.name) || /^(href|src|action|formaction|data|srcdoc|xlink:href)$/i.test(a.name)))
        .map(one => one.outerHTML.slice(0, 200))""") == []
    assert page.wrong == []
    assert raw.count("<script") == 5 and raw.count("</script>") == 5
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x08\x0b-\x1f\x7f-\x9f]", raw)


def test_nothing_in_it_runs_but_its_own_script(report: Path, show: Callable[..., Any], tmp_path: Path) -> None:
    text = report.read_text()
    (tmp_path / "forged.html").write_text(text.replace("</main>", "<script>document.title = 'mine'</script><b style='color: red'>b</b><img src=x></main>"))
    page = show(tmp_path / "forged.html")
    assert page.title() == "sweep-1 – sshjobs"
    assert any("Content Security Policy" in one for one in page.wrong)
    assert page.evaluate("getComputedStyle(document.querySelector('main > b')).color") != "rgb(255, 0, 0)"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", [(1280, 900), (390, 844)], ids=["desktop", "phone"])
def test_it_can_be_used_by_everybody_and_fits(report: Path, show: Callable[..., Any], scheme: str, screen: tuple[int, int]) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = show(report, viewport={"width": screen[0], "height": screen[1]}, color_scheme=scheme, bypass_csp=True)
    page.locator("summary").click()
    found = [finding for finding in Axe().run(page).response["violations"] if finding["impact"] in ("serious", "critical")]
    assert found == [], [(one["id"], one["nodes"][0]["html"]) for one in found]
    assert page.evaluate("document.documentElement.scrollWidth") <= screen[0]


# -- the command ---------------------------------------------------------------------------------------------------


def test_the_newest_run_is_reported_beside_us_and_an_old_report_replaced(sshjobs_cli: SshjobsCli, results: Path, tmp_path: Path) -> None:
    for _ in range(2):
        done = sshjobs_cli("report")
        assert done.returncode == EXIT_OK and re.fullmatch(r"sweep-1\.html: the report of sweep-1, [\d.]+ KiB\n", done.stdout)
    made = tmp_path / "sweep-1.html"
    assert made.stat().st_mode & 0o777 == 0o600 and made.read_text().endswith("</html>\n")
    assert [one.name for one in tmp_path.iterdir() if one.name.endswith(".new")] == []


@tries("choose another place with -o")
def test_another_place_is_where_the_report_goes(sshjobs_cli: SshjobsCli, results: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.html").write_text("my own\n")
    refused = sshjobs_cli("report", "-o", "mine.html")
    assert refused.returncode == EXIT_USAGE and refused.stderr.rstrip().endswith("choose another place with -o")
    assert sshjobs_cli("report", "-o", "other.html").returncode == EXIT_OK
    assert (tmp_path / "mine.html").read_text() == "my own\n" and (tmp_path / "other.html").exists()


@pytest.mark.parametrize("kind", ["a file of somebody", "no directory", "a directory", "damaged", "newer", "no store", "no run"])
def test_what_cannot_be_is_one_line(sshjobs_cli: SshjobsCli, results: Path, tmp_path: Path, kind: str) -> None:
    paths, where, word = RunPaths(results, "sweep-1"), tmp_path / "out.html", "sweep-1"
    match kind:
        case "a file of somebody":
            where = tmp_path / "jobs.yaml"
            where.write_text("jobs: []\n")
        case "no directory":
            where = tmp_path / "nowhere" / "out.html"
        case "a directory":
            where = tmp_path
        case "damaged":
            with open(paths.store, "r+b") as file:
                file.seek(0)
                file.write(b"no database at all" * 600)
        case "newer":
            with sqlite3.connect(paths.store) as connection:
                connection.execute("PRAGMA user_version = 999")
            connection.close()
        case "no store":
            paths.store.unlink()
        case "no run":
            word = "nosuch"
    done = sshjobs_cli("report", word, "-o", where)
    assert done.returncode == (1 if kind in ("damaged", "newer") else EXIT_USAGE) and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and "Traceback" not in done.stderr, done.stderr
    if kind == "a file of somebody":
        assert where.read_text() == "jobs: []\n"
    assert not (tmp_path / "out.html").exists()


@pytest.mark.parametrize("statement", [
    "UPDATE jobs SET state = 'nonsense' WHERE number = 3", "UPDATE attempts SET started = 'x' WHERE job = 2",
    "UPDATE attempts SET ended = 1e400 WHERE job = 2", "UPDATE hosts SET host = '[]'", "UPDATE jobs SET params = '{' WHERE number = 2",
    "UPDATE attempts SET host = NULL WHERE job = 1", "UPDATE specs SET spec = '3'", "DELETE FROM run", "UPDATE attempts SET result = '[[' WHERE job = 1"])
def test_a_store_with_what_cannot_be_gives_a_report_or_one_line(results: Path, tmp_path: Path, statement: str) -> None:
    paths = RunPaths(results, "sweep-1")
    with sqlite3.connect(paths.store) as connection:
        connection.execute("PRAGMA ignore_check_constraints = 1")
        try:
            connection.execute(statement)
        except sqlite3.IntegrityError:
            pytest.skip("the store does not take it")
    connection.close()
    try:
        write_report(paths, tmp_path / "out.html")
    except StoreError as error:
        assert "\n" not in str(error)
    else:
        assert (tmp_path / "out.html").read_text().endswith("</html>\n")


def test_a_run_without_jobs_and_one_that_has_just_begun_are_reported(tmp_path: Path, show: Callable[..., Any]) -> None:
    with edit(tmp_path / "results", "new-1", ["x"]) as run:
        pass
    write_report(run.paths, tmp_path / "report.html")
    page = show(tmp_path / "report.html")
    assert "Nothing has run." in page.locator("main").inner_text() and "No job has failed." in page.locator("main").inner_text()
    assert page.wrong == []


def test_failures_beyond_those_that_are_read_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sshjobs.diagnosis.groups.MOST_READ", 3)
    write_report(make_big(tmp_path / "results", 200), tmp_path / "out.html")
    assert "1 more failure: the first are looked at." in (tmp_path / "out.html").read_text()
