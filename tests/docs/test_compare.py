"""The comparison that the pages are held to would notice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs import shell
from tests.docs.compare import differs
from tests.docs.page import blocks, commands
from tests.docs.shell import PageShell


@pytest.mark.parametrize(("shown", "printed"), [
    (["a  b"], ["a b"]),
    (["done in ..., all well"], ["done in 0.31 s, all well"]),
    (["first", "...", "last"], ["first", "x", "y", "last"]),
    (["first", "...", "last"], ["first", "last"]),
    (["one", "two"], ["one", "", "two  "]),
    (["14:02:11 up a: 8 cores, 31.2 GiB, Python 3.11.2"], ["03:08:59 up a: 2 cores, 7 GiB, Python 3.9.16"]),
    (["exit 0 in 12 ms"], ["exit 0 in 1 min 2 s"]),
])
def test_what_a_page_may_leave_open_is_the_same(shown, printed):
    assert differs(shown, printed, ordered=True) is None


@pytest.mark.parametrize(("shown", "printed"), [
    (["a"], ["b"]),
    (["a"], ["a", "b"]),
    (["a", "b"], ["a"]),
    (["a", "b"], ["b", "a"]),
    (["a.c"], ["abc"]),
    ([], ["a"]),
])
def test_any_other_difference_is_told(shown, printed):
    assert differs(shown, printed, ordered=True) is not None


def test_which_host_took_a_job_is_left_open_only_where_that_is_said():
    assert differs(["a on node01"], ["a on node03"], ordered=True, any_host=True) is None
    assert differs(["a on node01"], ["a on node03"], ordered=True) is not None


def test_ends_of_jobs_come_in_any_order():
    assert differs(["done ... a", "done x ...", "end"], ["done x a", "end", "done y a"], ordered=False) is None


@pytest.mark.parametrize("printed", [["done a"], ["done a", "done a"], ["done a", "done b", "done c"]])
def test_in_any_order_each_line_still_counts_once(printed):
    assert differs(["done a", "done b"], printed, ordered=False) is not None


def test_a_page_is_read_as_its_conventions_say():
    page = "Put this into `jobs.yaml`:\n\n```yaml\njobs: []\n```\n\n```console\n$ a \\\n> b\nx\n$ c\n```\n"
    first, second = blocks(page)
    assert (first.file, first.text) == ("jobs.yaml", "jobs: []\n")
    assert second.file is None
    assert [(command.text, command.output) for command in commands(second)] == [("a \\\nb", ["x"]), ("c", [])]


def test_a_command_that_never_ends_is_told_with_what_others_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with PageShell(tmp_path, None) as page:
        assert page.run("echo 'no worker comes' > worker.log") == (0, [""])
        monkeypatch.setattr(shell, "LIMIT_S", 0.5)
        with pytest.raises(AssertionError, match="(?s)the shell ended during: echo tried; until.*tried.*worker.log: no worker comes"):
            page.run("echo tried; until false; do sleep 0.1; done")
