"""The pages in Chromium: a real run over real sshd, looked at and managed by two browsers at once."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sshjobs import JobSpec, Run
from tests.lab import BaseLab
from tests.lab.waiting import wait_until
from tests.web.serving import Served, serving

PAGES = {"runs": "", "cluster": "?run=sweep-1", "jobs": "?run=sweep-1&view=jobs", "job": "?run=sweep-1&view=job&job=fit-11",
         "host": "?run=sweep-1&view=host&host=b", "timeline": "?run=sweep-1&view=timeline",
         "manage": "?run=sweep-1&view=manage"}


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
    page.set_default_timeout(20_000)
    page.goto(served.url)
    page.wait_for_selector("#runs")
    return page


def column(page: Any, table: str, n: int) -> list[str]:
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


def test_every_column_of_the_jobs_sorts_and_the_address_says_so(page: Any, served: Served) -> None:
    page.goto(served.address + PAGES["jobs"])
    page.wait_for_selector("#jobs")
    for title, key in (("Job", "name"), ("State", "state"), ("Host", "host"), ("Took", "seconds")):
        page.get_by_role("button", name=title, exact=True).click()
        page.wait_for_function(f"() => location.search.includes('sort={key}')")
        head = page.locator("#jobs th", has=page.get_by_role("button", name=title, exact=True))
        first = head.get_attribute("aria-sort")
        page.get_by_role("button", name=title, exact=True).click()
        page.wait_for_function("old => [...document.querySelectorAll('#jobs th')].some("
                               "th => th.ariaSort && th.ariaSort !== old)", arg=first)
    page.goto(served.address + PAGES["jobs"] + "&sort=name&order=desc")
    page.wait_for_selector("#jobs")
    names = column(page, "jobs", 2)
    assert names == sorted(names, reverse=True)
    assert page.complaints == []


def test_every_column_of_the_hosts_sorts_address_descending_first(page: Any, served: Served) -> None:
    page.goto(served.address + PAGES["cluster"])
    page.wait_for_selector("#hosts")
    assert column(page, "hosts", 1) == ["b", "a"]
    for button in page.locator("#hosts th button").all():
        orders = []
        for _ in range(2):
            button.click()
            orders.append(button.locator("xpath=..").get_attribute("aria-sort"))
        assert set(orders) == {"ascending", "descending"}, button.inner_text()
    assert page.complaints == []


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


HOSTILE = ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "\" onmouseover=\"alert(1)", "' onfocus='alert(1)",
           "javascript:alert(1)", "{{7*7}}", "${7*7}", "<svg/onload=alert(1)>", "&lt;b&gt;", "</title><script>alert(1)</script>",
           "a%0aSet-Cookie:x=y", "--><script>alert(1)</script>", "]]><script>", "\\u003cscript\\u003e", "data:text/html,<b>"]


def test_hostile_names_are_text_and_nothing_else(chromium: Any, tmp_path: Path) -> None:
    from tests.cli.runs import edit

    names = [name.replace("/", "∕") for name in HOSTILE]
    with edit(tmp_path / "results", "bad-1", names) as run:
        for name in names:
            run.failed(name, name.encode(), name.encode())
        run.store.set_host("a", "away", HOSTILE[0], since=1.0)
    with serving(tmp_path / "results") as served:
        context = chromium.new_context()
        page = log_in(context, served)
        fired: list[str] = []

        def fire(dialog: Any) -> None:
            fired.append(dialog.message)
            dialog.dismiss()

        page.on("dialog", fire)
        for view in ("", "&view=jobs", "&view=timeline", "&view=manage", "&view=host&host=a", "&view=host&host=b"):
            page.goto(f"{served.address}/?run=bad-1{view}")
            page.wait_for_selector("#totals, h1")
        page.goto(f"{served.address}/?run=bad-1&view=jobs")
        page.wait_for_selector("#jobs")
        assert column(page, "jobs", 2) == names
        for name in names:
            page.goto(f"{served.address}/?run=bad-1")
            page.wait_for_selector("#totals")
            page.evaluate("name => { history.pushState(null, '', '?' + new URLSearchParams({run: 'bad-1', view: 'job', job: name}));"
                          "dispatchEvent(new PopStateEvent('popstate')); }", name)
            page.wait_for_selector("pre.output")
            page.wait_for_function("name => document.querySelector('h1').innerText === name", arg=name)
        assert fired == [] and page.locator("main script, main img, main svg").count() == 0
        assert page.complaints == []
        context.close()


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


# -- a real run --------------------------------------------------------------------------------------------------------

@pytest.mark.lab
def test_two_browsers_watch_and_manage_a_run_over_ssh(chromium: Any, lab: BaseLab, tmp_path: Path) -> None:
    specs = [JobSpec(["echo begun; i=0; while [ $i -lt 600 ]; do i=$((i+1)); echo line $i; sleep 0.2; done"], name=f"long-{n}")
             for n in range(1, 7)]
    names = [host.name for host in lab.hosts]
    run = Run.start(specs, [f"{names[0]} slots=2", f"{names[1]} slots=1"], results=tmp_path / "results", name="web-1",
                    ssh_config=str(lab.ssh_config))
    with run:
        with serving(tmp_path / "results") as served:
            contexts = [chromium.new_context(), chromium.new_context()]
            one, other = (log_in(context, served) for context in contexts)
            for page in (one, other):
                page.goto(f"{served.address}/?run=web-1")
            busy = "[data-count=busy]"
            for page in (one, other):
                page.wait_for_function(f"() => document.querySelector('{busy}')?.innerText === '3'")
            # A job is followed and cancelled; its process is gone on the host.
            one.goto(f"{served.address}/?run=web-1&view=job&job=long-1")
            one.locator("pre.output").get_by_text("line 3").wait_for()
            host = next(host for host in lab.hosts if host.name == run.jobs[0].host)
            marker = "line $i"
            before = int(host.ssh(f"pgrep -fc '{marker}' || true").stdout)
            one.get_by_role("button", name="Cancel").click()
            one.get_by_role("button", name="Cancel it").click()
            one.get_by_text("cancelled", exact=False).first.wait_for()
            wait_until(lambda: run.jobs[0].state == "error", 20)
            # The next job takes the slot, so as many run as before, and none of them is that one.
            wait_until(lambda: int(host.ssh(f"pgrep -fc '{marker}' || true").stdout) <= before, 20)
            # A host comes in, and jobs start on it.
            one.goto(f"{served.address}/?run=web-1&view=manage")
            one.get_by_label("One a line").fill(f"{names[2]} slots=1")
            one.get_by_role("button", name="Add", exact=True).click()
            wait_until(lambda: any(job.host == names[2] and job.state == "busy" for job in run.jobs), 20)
            other.wait_for_function(f"() => document.querySelector('{busy}')?.innerText === '4'")
            # Fewer slots: what runs goes on, unless somebody says otherwise.
            one.get_by_label(f"slots of {names[0]}").fill("1")
            one.get_by_role("row", name=re.compile(names[0])).get_by_role("button", name="Set slots").click()
            one.get_by_role("button", name="Cancel them").click()
            wait_until(lambda: sum(job.host == names[0] and job.state == "busy" for job in run.jobs) == 1, 20)
            # Drained: nothing more is launched there.
            one.goto(f"{served.address}/?run=web-1&view=host&host={names[1]}")
            one.get_by_role("button", name="Drain", exact=True).click()
            one.get_by_role("button", name="Undrain").wait_for()
            # All of it ends from the page.
            one.goto(f"{served.address}/?run=web-1&view=manage")
            one.get_by_role("button", name="Cancel all").first.click()
            one.get_by_role("dialog").get_by_role("button", name="Cancel all").click()
            assert run.wait(40) == 1
            other.wait_for_function(f"() => document.querySelector('{busy}')?.innerText === '0'")
            assert one.complaints == other.complaints == []
            for context in contexts:
                context.close()


def test_browsers_go_on_when_the_server_was_killed_and_started_again(chromium: Any, results: Path) -> None:
    with serving(results) as first:
        port = first.server.port
        context = chromium.new_context()
        page = log_in(context, first)
        page.goto(f"{first.address}/?run=sweep-1")
        page.wait_for_selector("#totals")
    page.get_by_text("does not answer").wait_for()
    with serving(results, port=port):
        page.get_by_text("does not answer").wait_for(state="detached")
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


def test_the_program_of_the_seed(chromium: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sshjobs
    from sshjobs.web import HTTPServer

    told: list[str] = []

    class Mine(sshjobs.Manager):
        def HandleJobDone(self, job: sshjobs.Job) -> None:
            told.append(job.name)

    builder = sshjobs.Builder()
    for n in range(6):
        builder.AddJob(["sleep 0.3"], name=f"nap-{n}")
    manager = Mine(1.0)
    manager.Setup(builder.MakeJobSpecs(), sshjobs.Network(str(tmp_path / "results"), ["localhost local slots=2"]))
    http_server = HTTPServer(manager, port=0, poll_sec=1)
    # Looked at from another thread, as people do, while the program's own carries the jobs out.
    counts: list[int] = []
    watched = threading.Thread(target=lambda: counts.append(_watch(http_server.url, manager.paths.name)))
    watched.start()
    manager.ProcessJobs()
    watched.join(30)
    http_server.shutdown()
    assert counts == [6] and sorted(told) == [f"nap-{n}" for n in range(6)]
    assert http_server.last_change is not None


def _watch(url: str, run: str) -> int:
    """Ask as a browser would until all jobs are done."""
    import httpx

    address, _, token = url.partition("/#token=")
    with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}) as client:
        wait_until(lambda: client.get("/api/runs").json()["runs"][0]["counts"]["done"] == 6, 20)
        return int(client.get(f"/api/runs/{run}/overview").json()["run"]["counts"]["done"])
