"""The pages in Chromium, one by one."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sshjobs.model.attempt import LeftOut
from tests.cli.runs import edit
from tests.web.serving import Served, serving

PAGES = {"runs": "", "cluster": "?run=sweep-1", "jobs": "?run=sweep-1&view=jobs", "job": "?run=sweep-1&view=job&job=fit-11",
         "job with a result": "?run=sweep-1&view=job&job=fit-1", "jobs found": "?run=sweep-1&view=jobs&params=lr%3D0.1",
         "no jobs found": "?run=sweep-1&view=jobs&params=nosuch%3D1", "host": "?run=sweep-1&view=host&host=b", "timeline": "?run=sweep-1&view=timeline",
         "manage": "?run=sweep-1&view=manage", "results": "?run=sweep-1&view=results", "together": "?view=together"}
#: The tables that sort, and the pages that they are on.
TABLES = {"runs": "runs", "cluster": "hosts", "together": "hosts", "manage": "manage", "jobs": "jobs", "results": "results"}


@pytest.fixture
def page(chromium: Any, served: Served) -> Iterator[Any]:
    """A browser that is logged in, on the list of runs."""
    context = chromium.new_context()
    yield log_in(context, served)
    context.close()


def log_in(context: Any, served: Served) -> Any:
    """Open a page that is logged in; what the browser complains of fails the test."""
    page = context.new_page()
    page.complaints = []
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("console", lambda message: page.complaints.append(message.text)
            if message.type == "error" and "Failed to load resource" not in message.text else None)
    page.set_default_timeout(60_000)
    page.goto(served.url)
    page.wait_for_selector("#runs")
    return page


def column(page: Any, table: str, n: int) -> list[str]:
    """The texts of a column, once all rows are there."""
    page.wait_for_selector(f"#{table} tbody:not([aria-busy])")
    return [text.strip() for text in page.locator(f"#{table} tbody tr td:nth-child({n})").all_inner_texts()]


def test_the_token_leaves_the_address_and_the_browser_stays_logged_in(page: Any, served: Served) -> None:
    assert "#" not in page.url
    page.goto(served.address)
    page.wait_for_selector("#runs")
    assert page.complaints == []


def test_a_browser_without_the_token_is_told_what_to_do(chromium: Any, served: Served) -> None:
    context = chromium.new_context()
    page = context.new_page()
    page.goto(served.address)
    page.get_by_text("not logged in").wait_for()
    context.close()


@pytest.mark.parametrize("name", TABLES)
def test_every_column_of_every_table_sorts_both_ways_and_the_address_says_so(page: Any, served: Served, results: Path, name: str) -> None:
    from sshjobs.model.host import Host
    from tests.cli.runs import edit

    # Hosts and runs of which everything is different.
    with edit(results, "other-1", ["x", "y"]) as run:
        run.busy("x")
        for n, host in enumerate("ab", 1):
            run.store.set_host(host, "up", facts={"cores": n, "memory": n << 30, "gpus": ["g"] * n}, since=n * 1000.0)
            run.store.set_pulse(host, {"at": n * 1000.0, "load": n, "memory": n << 20, "disk": n << 20, "gpus": [n], "sent": n, "received": n})
        run.store.add_hosts([Host("c", removed=True)])
    address = PAGES[name].replace("sweep-1", "other-1" if name in ("cluster", "manage") else "sweep-1")
    page.goto(f"{served.address}/{address}")
    table = f"#{TABLES[name]}"
    page.wait_for_selector(f"{table} tbody tr")
    titles = page.locator(f"{table} th button").all_inner_texts()
    assert len(titles) >= 4
    for title in titles:
        orders, rows = set(), []
        for _ in range(2):
            before = page.url
            page.locator(f"{table} th button").filter(has_text=re.compile(f"^{re.escape(title)}$")).click()
            page.wait_for_function("before => location.href !== before", arg=before)
            page.wait_for_function("([table, title]) => [...document.querySelectorAll(`${table} th`)].some("
                                   "th => th.ariaSort && th.innerText.startsWith(title))", arg=[table, title])
            at = titles.index(title) + (name == "jobs") + 1
            orders.add(page.locator(f"{table} th[aria-sort]").get_attribute("aria-sort"))
            assert "sort=" in page.url
            rows.append(column(page, TABLES[name], at))
        assert orders == {"ascending", "descending"}, title
        if name not in ("jobs", "results") and len(set(rows[0])) == len(rows[0]) and "–" not in rows[0]:
            assert rows[0] == rows[1][::-1], title
    assert page.complaints == []


def test_jobs_are_sorted_by_the_server(page: Any, served: Served) -> None:
    page.goto(served.address + PAGES["jobs"] + "&sort=name&order=desc")
    page.wait_for_selector("#jobs")
    names = column(page, "jobs", 2)
    assert names == sorted(names, reverse=True)


def test_an_answer_that_is_older_than_the_run_that_is_shown_is_asked_for_again(page: Any, served: Served, results: Path) -> None:
    """What a page needs is asked for together with the run itself, and the answers may be of two moments."""
    from tests.cli.runs import edit
    from tests.store.helpers import finish

    held: list[Any] = []
    asked: list[str] = []

    def events(route: Any) -> None:
        if run.jobs["x"].state == "done":
            route.continue_()
        else:
            held.append(route)

    with edit(results, "late-1", ["x"]) as run:
        run.busy("x")
        run.store.commit()

        def jobs(route: Any) -> None:
            asked.append(route.request.url)
            answer = route.fetch()
            if len(asked) == 1:
                finish(run.store, run.jobs["x"])
                run.store.commit()
                # Only now the run is asked for, and nothing is committed any more.
                for stream in held:
                    stream.continue_()
            route.fulfill(response=answer)

        page.route(re.compile("/events"), events)
        page.route(re.compile("/jobs[?]"), jobs)
        page.goto(f"{served.address}/?run=late-1&view=jobs")
        page.locator("#jobs").get_by_text("done").wait_for()
        assert len(asked) == 2


def test_hosts_are_sorted_by_address_descending_first(page: Any, served: Served) -> None:
    for name in ("cluster", "manage", "together"):
        page.goto(f"{served.address}/{PAGES[name]}")
        page.wait_for_selector(f"#{TABLES[name]} tbody tr")
        assert column(page, TABLES[name], 1) == ["b", "a"]


def test_jobs_are_searched_filtered_and_opened(page: Any, served: Served) -> None:
    page.goto(served.address + PAGES["jobs"])
    page.get_by_label("Search by name").fill("fit-1")
    page.wait_for_function("() => document.querySelector('#found')?.innerText.startsWith('11 ')")
    page.get_by_label("error", exact=True).check()
    page.wait_for_function("() => document.querySelector('#found')?.innerText.startsWith('1 ')")
    page.reload()
    page.wait_for_function("() => document.querySelector('#found')?.innerText.startsWith('1 ')")
    page.get_by_role("link", name="fit-11").click()
    page.get_by_role("heading", name="fit-11").wait_for()
    page.get_by_role("link", name=re.compile("stderr")).click()
    page.get_by_text("no such thing").wait_for()
    assert page.complaints == []


def test_jobs_are_found_by_their_parameters_and_the_address_says_so(page: Any, served: Served) -> None:
    page.goto(served.address + PAGES["jobs"])
    page.get_by_label("Parameters").fill("lr=0.10, seed=5")
    page.wait_for_function("() => document.querySelector('#found')?.innerText.startsWith('1 ')")
    assert column(page, "jobs", 2) == ["fit-5"] and "params=lr" in page.url
    page.get_by_label("Parameters").fill("lr=0.1")
    page.wait_for_function("() => document.querySelector('#found')?.innerText.startsWith('5 ')")
    page.reload()
    page.wait_for_function("() => document.querySelector('#found')?.innerText.startsWith('5 ')")
    page.get_by_label("done", exact=True).check()
    page.wait_for_function("() => document.querySelector('#found')?.innerText.startsWith('3 ')")
    assert column(page, "jobs", 2) == ["fit-1", "fit-5", "fit-9"]
    page.get_by_label("Parameters").fill("rate=0.1")
    page.get_by_text("no job has a parameter 'rate'").wait_for()
    # From a job to all that share a value with it.
    page.goto(served.address + PAGES["job with a result"])
    page.locator("dl[aria-label=Parameters]").get_by_role("link", name="0.1").click()
    page.wait_for_function("() => document.querySelector('#found')?.innerText.startsWith('5 ')")
    assert page.get_by_label("Parameters").input_value() == "lr=0.1"
    assert page.complaints == []


def test_output_shows_colours_as_spans_and_overwritten_lines_once(page: Any, served: Served, results: Path) -> None:
    (results / "sweep-1/jobs/fit-12/stdout").write_bytes(
        b"\x1b[31mred\x1b[0m plain\n10 %\r50 %\r100 %\n<img src=x onerror=alert(1)>\x1b]0;title\x07\xe2\x80\xaeend\n")
    page.goto(served.address + "?run=sweep-1&view=job&job=fit-12")
    output = page.locator("pre.output")
    output.get_by_text("plain").wait_for()
    assert output.inner_text().splitlines() == ["red plain", "100 %", "<img src=x onerror=alert(1)>end"]
    assert output.locator("span.a31").inner_text() == "red"
    assert output.locator("img").count() == 0
    with (results / "sweep-1/jobs/fit-12/stdout").open("ab") as file:
        file.write(b"one more line\n")
    output.get_by_text("one more line").wait_for()
    assert page.complaints == []


def test_output_says_where_some_of_it_was_left_out(page: Any, served: Served, results: Path) -> None:
    with edit(results, "cut-1", ["cut", "none"]) as run:
        run.failed("cut", b"one\ntwo\nnine\n", b"red\n")
        run.jobs["cut"].attempts[-1].left_out = LeftOut(8, 1234, 0)
        run.done("none")
        run.jobs["none"].attempts[-1].left_out = LeftOut(0, 77, 0)
    output = page.locator("pre.output")
    page.goto(f"{served.address}?run=cut-1&view=job&job=cut&stream=stdout")
    told = "-- 1,234 bytes of stdout left out behind the first 8 (output_limit) --"
    output.get_by_text("nine").wait_for()
    assert [line for line in output.inner_text().splitlines() if line] == ["one", "two", told, "nine"]
    # Of what a search leaves away it is still said.
    page.get_by_label("Find in stdout").fill("nine")
    page.wait_for_function("() => !document.querySelector('pre.output').innerText.includes('two')")
    assert [line for line in output.inner_text().splitlines() if line] == [told, "nine"]
    page.goto(f"{served.address}?run=cut-1&view=job&job=cut&stream=stderr")
    output.get_by_text("red").wait_for()
    assert "left out" not in page.locator("main").inner_text()
    page.goto(f"{served.address}?run=cut-1&view=job&job=none&stream=stdout")
    output.get_by_text("-- 77 bytes of stdout left out behind the first 0 (output_limit) --").wait_for()
    # Where the end alone is shown it stands above that.
    large = b"x" * 99 + b"\n"
    (results / "cut-1/jobs/cut/stdout").write_bytes(b"one\ntwo\n" + 40_000 * large)
    page.goto(f"{served.address}?run=cut-1&view=job&job=cut&stream=stdout")
    page.locator("p.note").get_by_text("1,234 bytes of stdout left out behind the first 8 (output_limit)").wait_for()
    assert "left out" not in output.inner_text() and page.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_can_be_used_by_everybody(chromium: Any, served: Served, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    context = chromium.new_context(color_scheme=scheme)
    page = log_in(context, served)
    # The pages let no foreign script in, that of this check neither; it is brought in past their policy.
    context.close()
    context = chromium.new_context(color_scheme=scheme, bypass_csp=True)
    page = log_in(context, served)
    for name, address in PAGES.items():
        page.goto(f"{served.address}/{address}")
        page.wait_for_selector("main h1, #totals")
        found = [finding for finding in Axe().run(page).response["violations"] if finding["impact"] in ("serious", "critical")]
        assert found == [], f"{name}: {[(one['id'], one['nodes'][0]['html']) for one in found]}"
    context.close()


@pytest.mark.parametrize("name", PAGES)
def test_pages_fit_a_phone(chromium: Any, served: Served, name: str) -> None:
    context = chromium.new_context(viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    page = log_in(context, served)
    page.goto(f"{served.address}/{PAGES[name]}")
    page.wait_for_selector("main h1, #totals")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()


@pytest.mark.parametrize("files", ["one", "two"])
def test_https_with_one_file_and_with_two(chromium: Any, results: Path, tmp_path: Path, files: str) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-keyout", key, "-out", certificate], check=True, capture_output=True, timeout=60)
    more: dict[str, Any] = {"certfile": str(certificate), "keyfile": str(key)}
    if files == "one":
        both = tmp_path / "both.pem"
        both.write_bytes(certificate.read_bytes() + key.read_bytes())
        more = {"certfile": str(both)}
    with serving(results, **more) as served:
        context = chromium.new_context(ignore_https_errors=True)
        page = log_in(context, served)
        cookie, = context.cookies()
        assert cookie["secure"] and page.url.startswith("https://")
        context.close()


def test_below_the_path_of_a_proxy_pages_find_their_files_and_the_api(chromium: Any, results: Path) -> None:
    with serving(results, base="/lab/jobs") as served:
        context = chromium.new_context()
        page = log_in(context, served)
        page.get_by_role("link", name="sweep-1").click()
        page.wait_for_selector("#hosts")
        page.get_by_role("link", name="Jobs", exact=True).click()
        page.get_by_role("link", name="fit-1", exact=True).click()
        page.wait_for_function("() => [...document.querySelectorAll('#files img')].some(img => img.complete && img.naturalWidth)")
        assert page.url.startswith(f"{served.address}/lab/jobs/") and page.complaints == []
        context.close()


def test_where_no_stream_of_events_comes_through_pages_ask_now_and_then(chromium: Any, tmp_path: Path) -> None:
    from tests.cli.runs import edit

    with edit(tmp_path / "r", "live-1", ["x", "y"], attended=True) as run, serving(tmp_path / "r", poll_seconds=0.5) as served:
        context = chromium.new_context()
        context.route(re.compile(r"/events"), lambda route: route.abort())
        page = log_in(context, served)
        page.goto(f"{served.address}/?run=live-1")
        page.wait_for_function("() => document.querySelector('[data-count=done]')?.innerText === '0'")
        run.done("x")
        run.store.commit()
        page.wait_for_function("() => document.querySelector('[data-count=done]')?.innerText === '1'")
        # Once one comes through, it is used again.
        context.unroute(re.compile(r"/events"))
        with page.expect_request(re.compile(r"/events")):
            pass
        context.close()


def test_a_browser_that_wants_no_updates_gets_none(chromium: Any, tmp_path: Path) -> None:
    from tests.cli.runs import edit

    with edit(tmp_path / "r", "live-1", ["x", "y"], attended=True) as run, serving(tmp_path / "r", poll_seconds=0.2) as served:
        context = chromium.new_context()
        page = log_in(context, served)
        page.goto(f"{served.address}/?run=live-1&view=manage")
        page.get_by_label("Seconds between updates").fill("0")
        page.get_by_label("Seconds between updates").press("Tab")
        page.get_by_text("nothing is updated now").wait_for()
        page.goto(f"{served.address}/?run=live-1")
        page.wait_for_selector("#totals")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        run.done("x")
        run.store.commit()
        # Another browser has been told; this one has not asked.
        other = log_in(chromium.new_context(), served)
        other.goto(f"{served.address}/?run=live-1")
        other.wait_for_function("() => document.querySelector('[data-count=done]')?.innerText === '1'")
        assert page.locator("[data-count=done]").inner_text() == "0" and asked == []
        other.context.close()
        context.close()
