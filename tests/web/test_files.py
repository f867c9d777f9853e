"""Fetched files, as pages have them: pictures in a sandbox, everything else for saving, nothing from elsewhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.web.serving import Served
from tests.web.test_pages import log_in

PNG = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001000000010806000000" "1f15c4890000000d49444154789c6360f8cf000000"
                    "0300013503e7c80000000049454e44ae426082")
SVG = b"""<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>alert(1)</script>
<rect width="9" height="9" fill="red" onload="alert(2)"/></svg>"""


@pytest.fixture
def outputs(results: Path) -> Path:
    """The outputs of a job, with files of several kinds."""
    where = results / "sweep-1" / "jobs" / "fit-11" / "files"
    (where / "a" / "b").mkdir(parents=True)
    for name, data in {"loss.png": PNG, "a/b/plot.svg": SVG, "a/page.html": b"<script>alert(1)</script>", "data.csv": b"1,2\n",
                       "no-end": b"x", "fake.png": b"<script>alert(1)</script>"}.items():
        (where / name).write_bytes(data)
    return where


def ask(served: Served, path: str, what: str = "file") -> Any:
    with served.client() as client:
        return client.get(f"/api/runs/sweep-1/{what}", params={"job": "fit-11", "path": path} if what == "file" else {"job": "fit-11"})


def test_files_are_listed_with_their_sizes(served: Served, outputs: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hidden words")
    (outputs / "link.png").symlink_to(tmp_path / "secret")
    (outputs / "away").symlink_to(tmp_path)
    os.mkfifo(outputs / "pipe")
    answer = ask(served, "", "files").json()
    assert [(file["path"], file["size"], file["image"]) for file in answer["files"]] == [
        ("a/b/plot.svg", len(SVG), True), ("a/page.html", 25, False), ("data.csv", 4, False), ("fake.png", 25, True),
        ("loss.png", len(PNG), True), ("no-end", 1, False)]
    assert not answer["more"]


def test_of_very_many_files_some_are_listed(served: Served, outputs: Path) -> None:
    for n in range(700):
        (outputs / f"n{n}").touch()
    answer = ask(served, "", "files").json()
    assert len(answer["files"]) == 500 and answer["more"]


@pytest.mark.parametrize(("path", "kind", "inline"), [
    ("loss.png", "image/png", True), ("a/b/plot.svg", "image/svg+xml", True), ("fake.png", "image/png", True),
    ("a/page.html", "application/octet-stream", False), ("data.csv", "application/octet-stream", False)])
def test_every_file_comes_in_a_sandbox_and_only_pictures_are_shown(served: Served, outputs: Path, path: str, kind: str,
                                                                   inline: bool) -> None:
    answer = ask(served, path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"].startswith("inline" if inline else "attachment")
    assert answer.content == (outputs / path).read_bytes()


@pytest.mark.parametrize("path", [
    "../stdout", "../../fit-12/stdout", "/etc/passwd", "a/../../stdout", "a//b/plot.svg", "./loss.png", "", ".", "..", "a", "a/b/",
    "loss.png/x", "loss.png\0", "%2e%2e/stdout", "..\\stdout", "link.png", "away/secret", "pipe", "nothing", "x" * 4000, "a/" * 2000,
    "\udcff.png"])
def test_no_path_leads_out_of_the_outputs(served: Served, outputs: Path, tmp_path: Path, path: str) -> None:
    (tmp_path / "secret").write_text("hidden words")
    (outputs / "link.png").symlink_to(tmp_path / "secret")
    (outputs / "away").symlink_to(tmp_path)
    os.mkfifo(outputs / "pipe")
    if "\udcff" in path:
        with served.client() as client:
            answer = client.get("/api/runs/sweep-1/file?job=fit-11&path=%FF.png")
    else:
        answer = ask(served, path)
    assert answer.status_code in (404, 422) and b"hidden words" not in answer.content


def test_a_browser_shows_pictures_and_runs_nothing(chromium: Any, served: Served, outputs: Path) -> None:
    context = chromium.new_context()
    page = log_in(context, served)
    fired: list[str] = []

    def fire(dialog: Any) -> None:
        fired.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", fire)
    page.goto(f"{served.address}/?run=sweep-1&view=job&job=fit-11")
    page.wait_for_function("() => [...document.querySelectorAll('#files img')].filter(img => img.complete && img.naturalWidth).length === 2")
    # Opened by itself it is a page of no origin: it cannot ask anything here, and nothing in it runs.
    page.goto(f"{served.address}/api/runs/sweep-1/file?job=fit-11&path=a/b/plot.svg")
    assert page.evaluate("self.origin") == "null"
    assert fired == [] and page.complaints == [one for one in page.complaints if "sandbox" in one or "Content Security" in one]
    context.close()
