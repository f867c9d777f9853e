"""Names, outputs, reasons, parameters, results and file names in 60 spellings that would be a part of a page, or lead elsewhere, if pages
let them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.web.serving import serving
from tests.web.spellings import SPELLINGS, hostile_run
from tests.web.test_pages import column, log_in


def test_there_are_sixty_spellings_and_none_twice() -> None:
    assert len(set(SPELLINGS)) == len(SPELLINGS) >= 60


@pytest.mark.parametrize("part", range(3))
def test_hostile_words_are_text_and_nothing_else(chromium: Any, tmp_path: Path, part: int) -> None:
    spellings = SPELLINGS[part::3]
    _, names = hostile_run(tmp_path / "results", spellings)
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
