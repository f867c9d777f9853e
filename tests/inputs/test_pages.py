"""The pages about jobfiles and hosts say what is: every example in them is loaded."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sshjobs.errors import InputError
from sshjobs.inputs.hostfile import load_hosts
from sshjobs.inputs.jobfile import load_jobfile
from sshjobs.inputs.jobmodel import JobEntry

DOCS = Path(__file__).parents[2] / "docs"
JOBFILE_PAGE = (DOCS / "jobfile.md").read_text()
HOSTS_PAGE = (DOCS / "hosts.md").read_text()
MANNERS_PAGE = (DOCS / "manners.md").read_text()


def blocks(info: str) -> list[str]:
    """Every fenced block of the pages with this first line."""
    pages = JOBFILE_PAGE + HOSTS_PAGE + MANNERS_PAGE
    return re.findall(rf"^```{re.escape(info)}\n(.*?)^```$", pages, re.MULTILINE | re.DOTALL)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A directory with the files that the pages speak of."""
    monkeypatch.chdir(tmp_path)
    for name in ("train.py", "config.toml", "words.txt"):
        (tmp_path / name).touch()
    (tmp_path / "data").mkdir()
    return tmp_path


@pytest.mark.parametrize("text", blocks("yaml jobfile"))
def test_every_jobfile_on_the_pages_loads(text, here):
    assert load_jobfile("jobs.yaml", text.encode())


def test_the_defaults_on_the_page_do_what_its_comments_say(here):
    (text,) = (text for text in blocks("yaml jobfile") if text.startswith("defaults:"))
    a, b, c = load_jobfile("jobs.yaml", text.encode())
    assert (a.spec.env, a.spec.timeout) == ({"MODE": "fast"}, 3600)
    assert (b.spec.env, b.spec.timeout) == ({"MODE": "fast", "SEED": "7"}, None)
    assert (c.repeat, c.spec.env, c.spec.timeout) == (5, {"MODE": "exact"}, 3600)


@pytest.mark.parametrize("text", blocks("text hosts"))
def test_every_hosts_file_on_the_pages_loads(text):
    assert load_hosts(text.split("\n"))


def test_the_mistakes_on_the_pages_are_those_that_are_told(here):
    (jobs,), wrong = blocks("yaml jobfile wrong"), blocks("text hosts wrong")
    of_jobs, *of_hosts = blocks("text mistakes")
    with pytest.raises(InputError) as caught:
        load_jobfile("jobs.yaml", jobs.encode())
    assert str(caught.value).replace(str(here), "/home/me") == of_jobs.rstrip()
    for hosts, told in zip(wrong, of_hosts, strict=True):
        (here / "hosts.txt").write_text(hosts)
        with pytest.raises(InputError) as caught:
            load_hosts("hosts.txt")
        assert str(caught.value) == told.rstrip()


@pytest.mark.parametrize(
    ("pattern", "names"), re.findall(r"^\| `(\S+)` \| ((?:`\S+` ?)+)\|$", HOSTS_PAGE, re.MULTILINE))
def test_every_range_on_the_page_means_what_it_says(pattern, names):
    assert [host.name for host in load_hosts(pattern)] == re.findall(r"`(\S+)`", names)


def test_every_key_is_on_the_page_and_no_other():
    table = re.search(r"\| key \|.*?\n\n", JOBFILE_PAGE, re.DOTALL)
    assert table is not None
    assert set(re.findall(r"^\| `(\w+)` \|", table[0], re.MULTILINE)) == set(JobEntry.model_fields)


