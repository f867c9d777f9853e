"""No link of the documentation leads nowhere, and every page is in the table of contents."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.page import blocks
from tests.house.source import ROOT

_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_FENCED = re.compile(r"^(`{3,}).*?^\1$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [page for page in PAGES if "_build" not in page.parts]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    text = _CODE.sub("", _FENCED.sub("", page.read_text()))
    broken = [link for link in _LINK.findall(text) if "://" not in link and not _leads_somewhere(page, link)]
    assert broken == []


def test_every_page_is_in_the_table_of_contents() -> None:
    docs, found = ROOT / "docs", {"index.md"}
    for index in (page for page in PAGES if page.name == "index.md"):
        for block in blocks(index.read_text()):
            if block.info == "{toctree}":
                entries = [line for line in block.text.splitlines() if line and not line.startswith(":")]
                found |= {str((index.parent / f"{entry}.md").relative_to(docs)) for entry in entries}
    assert found == {str(page.relative_to(docs)) for page in PAGES if page.name != "README.md"}


def _leads_somewhere(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (page.parent / path) if path else page
    if not target.exists():
        return False
    return not anchor or target.suffix != ".md" or anchor in _anchors(target.read_text())


def _anchors(text: str) -> set[str]:
    """The anchors of a page's headings, made as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", _FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
