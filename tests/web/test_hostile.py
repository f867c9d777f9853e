"""Names, outputs, reasons, parameters, results and file names in 60 spellings that would be a part of a page, or lead elsewhere, if pages
let them."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from sshjobs.model.host import Host
from tests.cli.runs import edit
from tests.web.serving import serving
from tests.web.test_pages import column, log_in

SPELLINGS = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "\" onmouseover=\"alert(1)", "' onfocus='alert(1)",
    "javascript:alert(1)", "{{7*7}}", "${7*7}", "<svg/onload=alert(1)>", "&lt;b&gt;", "</title><script>alert(1)</script>",
    "a%0aSet-Cookie:x=y", "--><script>alert(1)</script>", "]]><script>", "\\u003cscript\\u003e", "data:text/html,<b>",
    "<iframe src=javascript:alert(1)>", "<a href=javascript:alert(1)>x</a>", "<body onload=alert(1)>", "<style>*{display:none}</style>",
    "<link rel=stylesheet href=//evil.example>", "<base href=//evil.example>", "<meta http-equiv=refresh content=0>",
    "<form action=//evil.example><button>x", "<input autofocus onfocus=alert(1)>", "<details open ontoggle=alert(1)>",
    "<video src=x onerror=alert(1)>", "<math><mi xlink:href=javascript:alert(1)>", "<object data=javascript:alert(1)>",
    "<embed src=javascript:alert(1)>", "<template><script>alert(1)</script>", "<noscript><img src=x onerror=alert(1)>",
    "`${alert(1)}`", "${alert(1)}", "#{alert(1)}", "<%= alert(1) %>", "{%raw%}", "[[alert(1)]]", "';alert(1)//", "\";alert(1)//",
    "\\';alert(1)//", "%3Cscript%3Ealert(1)%3C/script%3E", "&#60;script&#62;", "&#x3c;script&#x3e;", "+ADw-script+AD4-",
    "\uff1cscript\uff1e", "<scr<script>ipt>", "<ScRiPt>alert(1)</sCrIpT>", "<<script>alert(1)//<</script>", "a?view=manage&run=x",
    "a#token=0", "a&job=b", "a=b;c=d", "%2e%2e%2f", "..\\..\\x", "a\u2028b", "e\u0301\u0301\u0301", "\u202egnp.exe", "\u200bblank",
    "constructor", "__proto__", "*", "a" * 180,
]


def test_there_are_sixty_spellings_and_none_twice() -> None:
    assert len(set(SPELLINGS)) == len(SPELLINGS) >= 60


def give_values(store: Path, names: list[str], spellings: list[str]) -> None:
    """Give jobs parameters and results that are called so and have such values, as a store that was forged may have them."""
    with sqlite3.connect(store) as connection:
        for name, spelling in zip(names, spellings, strict=True):
            for statement, values in (
                    ("UPDATE specs SET spec = json_set(spec, '$.param_names', json_array(?, 'p')) WHERE id = (SELECT spec FROM jobs WHERE name = ?)", (spelling, name)),
                    ("UPDATE jobs SET params = json_array(?, ?) WHERE name = ?", (spelling, spelling, name)),
                    ("UPDATE attempts SET result = ? WHERE job = (SELECT number FROM jobs WHERE name = ?)",
                     (json.dumps({spelling: spelling, "r": spelling, "of": {spelling: [spelling]}}), name))):
                assert connection.execute(statement, values).rowcount == 1
    connection.close()


@pytest.mark.parametrize("part", range(3))
def test_hostile_words_are_text_and_nothing_else(chromium: Any, tmp_path: Path, part: int) -> None:
    spellings = SPELLINGS[part::3]
    names = [spelling.replace("/", "\u2215") for spelling in spellings]
    # Each with parameters called otherwise, so that each has a spec of its own.
    params = {name: {f"q{n}": ""} for n, name in enumerate(names)}
    with edit(tmp_path / "results", "bad-1", names, params=params) as run:
        run.store.add_hosts([Host(spelling) for spelling in spellings])
        for name, spelling in zip(names, spellings, strict=True):
            run.failed(name, spelling.encode(), spelling.encode())
            job = run.jobs[name]
            job.reason = job.attempts[-1].reason = spelling
            job.host = job.attempts[-1].host = spelling
            run.store.touch(job)
            run.store.set_host(spelling, "away", spelling, since=1.0, facts={"hostname": spelling, "gpus": [spelling]})
            outputs = run.paths.files(name)
            outputs.mkdir(parents=True)
            (outputs / (name + ".txt")).write_text(spelling)
    give_values(run.paths.store, names, spellings)
    with serving(tmp_path / "results") as served:
        context = chromium.new_context()
        page = log_in(context, served)
        wrong: list[str] = []

        def fire(dialog: Any) -> None:
            wrong.append(f"a dialog: {dialog.message}")
            dialog.dismiss()

        page.on("dialog", fire)
        page.on("request", lambda request: None if request.url.startswith(served.address) else wrong.append(request.url))
        page.on("framenavigated", lambda frame: None if frame.url.startswith(served.address) else wrong.append(frame.url))
        for view in ("", "&view=jobs", "&view=timeline", "&view=manage"):
            page.goto(f"{served.address}/?run=bad-1{view}")
            page.wait_for_selector("main h1, #totals")
        page.goto(f"{served.address}/?run=bad-1&view=jobs")
        page.wait_for_selector("#jobs")
        assert column(page, "jobs", 2) == [name.strip() for name in names]
        page.goto(f"{served.address}/?run=bad-1&view=results")
        page.wait_for_selector("#results")
        assert sorted(column(page, "results", 1)) == sorted(name.strip() for name in names)
        _nothing_foreign(page)
        page.goto(f"{served.address}/?run=bad-1")
        page.wait_for_selector("#hosts")
        for name, spelling in zip(names, spellings, strict=True):
            _show(page, {"run": "bad-1", "view": "job", "job": name}, name)
            page.wait_for_function("text => document.querySelector('pre.output').textContent.includes(text)", arg=_shown(spelling))
            page.wait_for_selector("#files li")
            assert page.locator("p.note.bad").first.text_content() == spelling
            for title in ("Parameters", "Result"):
                shown = page.locator(f"dl[aria-label={title}]")
                assert spelling in shown.locator("dt").all_text_contents() and spelling in shown.locator("dd").all_text_contents()
            _show(page, {"run": "bad-1", "view": "host", "host": spelling}, spelling)
            for view, key in (("jobs", "params"), ("jobs", "search"), ("jobs", "host"), ("results", "where"), ("results", "sort"), ("", "filter"), ("", "sort")):
                _show(page, {"run": "bad-1", "view": view, key: spelling}, {"": None, "jobs": "Jobs", "results": "Results"}[view])
            _show(page, {"run": "bad-1", "view": "jobs", "params": f"p={spelling}"}, "Jobs")
            page.wait_for_function("name => [...document.querySelectorAll('#jobs tbody tr td:nth-child(2)')].some(cell => cell.innerText.trim() === name)",
                                   arg=name.strip())
            _nothing_foreign(page)
        assert wrong == [] and page.complaints == []
        context.close()


def _show(page: Any, place: dict[str, str], title: str | None) -> None:
    page.evaluate("place => { history.pushState(null, '', '?' + new URLSearchParams(place));"
                  "dispatchEvent(new PopStateEvent('popstate')); }", place)
    page.wait_for_function("title => title === null ? document.querySelector('#totals') : document.querySelector('h1')?.textContent === title",
                           arg=title)
    _nothing_foreign(page)


def _nothing_foreign(page: Any) -> None:
    """Whatever is in the page is of the kinds that we make, and no attribute of it runs anything."""
    assert page.evaluate("""() => [...document.body.querySelectorAll('*')].filter(one =>
        /^(script|style|iframe|object|embed|link|base|meta|form|svg|math|template|video|body)$/i.test(one.localName) ||
        [...one.attributes].some(a => /^on/i.test(a.name) || /^(href|src|action|formaction|data|xlink:href)$/i.test(a.name) && /^\\s*(javascript|data):/i.test(a.value)))
        .map(one => one.outerHTML.slice(0, 200))""") == []


def _shown(spelling: str) -> str:
    """What of an output is shown: marks that turn text around are not."""
    return spelling.replace("\u202e", "")
