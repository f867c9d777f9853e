"""What nobody sees, or what writes over something else: refused in names, shown in what we print."""

from __future__ import annotations

import sys
import unicodedata
from pathlib import Path

import pytest

from sshjobs.errors import SshjobsError, UsageError, hidden_in, printable
from sshjobs.inputs.jobnames import check_name
from sshjobs.store.rundir import check_run_name
from sshjobs.views.output import Layout, OutputsView
from tests.cli.runs import edit
from tests.cli.terminal import Terminal, plain
from tests.cli.test_exec_output import Bytes, Messages
from tests.conftest import SshjobsCli, sshjobs_argv

#: Code points that a font shows as nothing, or that change what stands around them.
INVISIBLE = [0xAD, 0x34F, 0x61C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180E, *range(0x200B, 0x2010), *range(0x202A, 0x202F),
             *range(0x2060, 0x2070), 0x3164, *range(0xFE00, 0xFE10), 0xFEFF, 0xFFA0, *range(0xFFF9, 0xFFFC), 0x1D173,
             0xE0001, 0xE0020, 0xE007F, 0xE0100, 0xE01EF]


@pytest.mark.parametrize("code", INVISIBLE, ids=lambda code: f"{code:04X}")
def test_an_invisible_character_is_refused_in_names_and_shown_in_messages(code: int) -> None:
    name = f"a{chr(code)}b"
    with pytest.raises(UsageError, match=f"cannot hold U\\+{code:04X}, a control or invisible character; take it out"):
        check_name(name, "a job's name")
    with pytest.raises(UsageError):
        check_run_name(name)
    for shown in (printable(name), str(SshjobsError("it is so", where=name))):
        assert chr(code) not in shown and f"{code:x}" in shown.lower()


def test_no_format_or_control_character_of_unicode_is_let_through() -> None:
    for code in range(sys.maxunicode + 1):
        # Marks of scripts that stand for something visible are letters of names.
        if unicodedata.category(chr(code)) in ("Cc", "Cs") or (
                unicodedata.category(chr(code)) == "Cf" and unicodedata.bidirectional(chr(code)) == "BN"):
            assert hidden_in(chr(code)), f"U+{code:04X}"


@pytest.mark.parametrize("name", ["Grüße", "数据-1", "データ", "שלום", "naïve", "a b", "🚀", "é"])
def test_honest_names_of_every_script_are_let_through(name: str) -> None:
    check_name(name)


def test_a_job_writes_over_nothing_on_a_terminal(tmp_path: Path, clean_home: Path) -> None:
    script = r"printf 'real\rfake\n'; printf 'a\xc2\xadb\xe2\x80\x8bc\r\n'; : {}"
    shown = r"real\rfake", r"a\xadb\u200bc"
    for options in (["--tag"], ["--output", "line"], ["--tag", "--output", "line"], []):
        with Terminal(sshjobs_argv(["exec", *options, script, ":::", "x"]), tmp_path, columns=200) as terminal:
            text = plain(terminal.read_to_end())
        assert all(line in text for line in ((r"real\r", "fake", shown[1]) if "--tag" in options else shown)), text
    with Terminal(sshjobs_argv(["logs", "exec-1", "1-x"]), tmp_path) as terminal:
        # As a terminal would show it in the end; into a file come all bytes.
        assert plain(terminal.read_to_end()) == f"fake\n{shown[1]}\n"
    with Terminal(sshjobs_argv(["logs", "--raw", "exec-1", "1-x"]), tmp_path) as terminal:
        assert "real\rfake" in terminal.read_to_end()


def test_bytes_into_a_pipe_are_as_they_were(sshjobs_cli: SshjobsCli) -> None:
    told = sshjobs_cli("exec", r"printf 'a\rb\r\n\xc2\xad'; : {}", ":::", "x")
    assert told.returncode == 0
    assert sshjobs_cli("logs", "exec-1", "1-x").stdout == told.stdout


@pytest.mark.parametrize(("pieces", "expected"), [
    ([b"real\rfake\n"], b"t\treal\rt\tfake\n"), ([b"10%\r", b"20%\r", b"done\n"], b"t\t10%\rt\t20%\rt\tdone\n"),
    ([b"a\r\nb\r\n"], b"t\ta\r\nt\tb\r\n"), ([b"a\r", b"\nb\n"], b"t\ta\r\nt\tb\n"), ([b"\r"], b"t\t\r"),
    ([b"a\n\r\rb"], b"t\ta\nt\t\rt\t\rt\tb"),
])
def test_a_tag_stands_wherever_a_line_begins_anew(pieces: list[bytes], expected: bytes, tmp_path: Path) -> None:
    with edit(tmp_path, "r", ["one"]) as made:
        paths = made.paths
    out = Bytes()
    view = OutputsView((out, Bytes()), Messages(), lambda text: None, way="line", layout=Layout(lambda name: "t"))
    view({"event": "run", "run": "r", "directory": str(paths.root), "jobs": 1, "hosts": ["a"]})
    paths.job("one").mkdir()
    (paths.job("one") / "stdout").touch()
    view({"event": "launch", "job": "one", "host": "a", "attempt": 1})
    for piece in pieces:
        with open(paths.job("one") / "stdout", "ab") as file:
            file.write(piece)
    view({"event": "done", "job": "one"})
    view({"event": "end", "exit_code": 0})
    view.close()
    assert out.data == expected
