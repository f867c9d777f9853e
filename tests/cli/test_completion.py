"""Completion in real shells: what it offers, and that a name stays one harmless word, whatever it is."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from sshjobs.cli.completion import Word, script, split_line
from tests.cli.here import call_here
from tests.cli.runs import edit
from tests.cli.tmux import Tmux
from tests.conftest import cli_environment
from tests.hints import tries

#: What readline breaks words at by itself.
BREAKS = " \t\n\"'@><=;|&(:"
HOSTILE = ["$(touch pwned)", "`touch pwned`", "fit 1", "it's", 'a"b', "x;touch pwned", "a&b", "!!", "*", "~", "train[lr=0.1,x=$y]",
           "größe 1", "a\\b", "-f", "#x", "{a,b}", "a=b=c", "user@host:x"]
#: How each shell quotes the first of them.
QUOTED = {"bash": r"\$\(touch\ pwned\)", "zsh": r"\$\(touch\ pwned\)", "fish": r"(\$\(touch\ pwned\)|'\$\(touch pwned\)')"}


@pytest.fixture
def place(tmp_path: Path, clean_home: Path) -> Path:
    """A directory with some files and runs, beside one with the command ``sshjobs``."""
    program = tmp_path / "bin" / "sshjobs"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m sshjobs "$@"\n')
    program.chmod(0o755)
    here = tmp_path / "here"
    (here / "inputs").mkdir(parents=True)
    (here / "sweep of seeds.yaml").touch()
    (here / "machines.txt").touch()
    with edit(here / "results", "old-1", ["first"]):
        pass
    with edit(here / "results", "sweep-2", [*HOSTILE, "fit-1", "fit-2"]) as made:
        for name in HOSTILE:
            made.done(name, b"harmless\n")
    return here


def environment(place: Path) -> dict[str, str]:
    """Return variables with which the shell finds our command."""
    return {**os.environ, **cli_environment(), "PATH": f"{place.parent}/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8"}


def offered(place: Path, line: str) -> list[str]:
    """Return what the function of bash offers for a line."""
    words = shlex.quote(line)
    program = (f"{script('bash')}\nCOMP_LINE={words}; COMP_POINT=${{#COMP_LINE}}; COMP_WORDBREAKS={shlex.quote(BREAKS)}\n"
               "_sshjobs_completion sshjobs; printf '%s\\n' \"${COMPREPLY[@]}\"")
    told = subprocess.run(["bash", "--norc", "-c", program], cwd=place, env=environment(place), capture_output=True, text=True,
                          timeout=60, check=False)
    return told.stdout.splitlines()


@pytest.mark.parametrize(("line", "expected"), [
    ("sshjobs unp", ["unpause"]), ("sshjobs logs fit-", ["fit-1", "fit-2"]), ("sshjobs logs old-1 ", ["first"]),
    ("sshjobs rm s", ["sweep-2"]), ("sshjobs rm old-1 s", ["sweep-2"]), ("sshjobs run x.yaml --continue ol", ["old-1"]),
    ("sshjobs hosts drain ", ["a", "b", "sweep-2", "old-1"]), ("sshjobs run x.yaml --hosts a,", ["a,a", "a,b"]),
    ("sshjobs logs --results=results fit-2", ["fit-2"]), ("sshjobs logs 'fit 1", ["fit 1"]), ("sshjobs logs fit\\ ", ["fit\\ 1"]),
    ("sshjobs logs train", [r"train\[lr=0.1,x=\$y\]"]), ("sshjobs logs train\\[lr=0", [r"0.1,x=\$y\]"]),
    ("sshjobs exec --output=or", ["ordered"]), ("sshjobs completion install f", ["fish"]), ("sshjobs run nosuch", [""]),
])
def test_bash_is_offered_what_belongs_there(place: Path, line: str, expected: Sequence[str]) -> None:
    assert offered(place, line) == expected


def test_fish_and_zsh_are_offered_the_same(place: Path) -> None:
    (place / "sshjobs.fish").write_text(script("fish"))
    asked = " ".join(f"; complete -C {shlex.quote(line)}; echo ==" for line in (
        "sshjobs logs fit-", "sshjobs logs sweep-2 a", "sshjobs unp", "sshjobs logs 'fit "))
    told = subprocess.run(["fish", "--no-config", "-c", f"source sshjobs.fish {asked}"], cwd=place, env=environment(place),
                          capture_output=True, text=True, timeout=60, check=False)
    assert [[line.split("\t")[0] for line in part.split("\n")] for part in told.stdout.strip("\n=").split("\n==\n")] == [
        ["fit-1", "fit-2"], ['a"b', "a&b", "a=b=c", "a\\b"], ["unpause"], ["fit 1"]], told
    answer = subprocess.run(["sshjobs"], cwd=place, capture_output=True, text=True, timeout=60, check=False, env={
        **environment(place), "_SSHJOBS_COMPLETE": "zsh_complete", "COMP_TEXT": "sshjobs\nlogs", "COMP_LAST": "fit-"})
    assert answer.stdout == "word\tfit-1\t\nword\tfit-2\t\n"


def test_a_store_that_cannot_be_read_offers_nothing_and_says_nothing(place: Path) -> None:
    (place / "results" / "sweep-2" / "run.db").write_bytes(b"x" * 5000)
    assert offered(place, "sshjobs logs fit-") == [""]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_real_shell_completes_a_name_that_would_run_a_command(place: Path, shell: str, clean_home: Path) -> None:
    with Tmux(place, columns=150, env={**environment(place), "HOME": str(clean_home), "SHELL": shell}) as terminal:
        terminal.type(f"sshjobs completion install {shell} && echo installed")
        terminal.wait_for(lambda screen: "\ninstalled" in screen)
        start = {"bash": "exec bash --noprofile", "zsh": "exec zsh -d", "fish": "exec fish"}[shell]
        terminal.type(f"clear; {start}")
        terminal.type({"fish": "function fish_prompt; echo -n '$ '; end; clear; echo ready"}.get(shell, "PS1='$ '; clear; echo ready"))
        terminal.wait_for(lambda screen: screen.startswith("ready"))
        for typed, shown in (("sshjobs unp", "sshjobs unpause"), ("sshjobs run sw", r"sweep\\ of\\ seeds\.yaml")):
            terminal.write(typed)
            terminal.press("Tab")
            terminal.wait_for(lambda screen, shown=shown: re.search(shown, screen))  # type: ignore[misc]
            terminal.press("C-u")
        terminal.write("sshjobs logs \\$")
        terminal.press("Tab")
        terminal.wait_for(lambda screen: re.search(r"logs (\\\$\\\(touch\\ pwned\\\)|'\$\(touch pwned\)')", screen))
        terminal.press("Enter")
        terminal.wait_for(lambda screen: "\nharmless" in screen)
        assert not (place / "pwned").exists()


def test_every_name_is_one_word_for_bash_however_it_was_begun(tmp_path: Path) -> None:
    seed = int(os.environ.get("SEED", "1"))
    print("seed", seed)
    random = Random(seed)
    letters = "ab $`\"'\\!*?[]{}()<>|&;#~=:@,.%^+-_äß\u3042"
    lines, meant = list[str](), list[str]()
    names = HOSTILE + ["".join(random.choice(letters) for _ in range(random.randrange(1, 12))) for _ in range(300)]
    for name in names:
        for style in ("", "'", '"', "\\"):
            begun = name[:random.randrange(len(name) + 1)]
            if style == "":
                # Unquoted as it is.
                begun = re.match(r"[\w.]*", begun)[0]  # type: ignore[index]
            typed = {"": begun, "'": "'" + begun, '"': '"' + re.sub(r'([$`"\\])', r"\\\1", begun),
                     "\\": re.sub(r"([^\w@%+=:,./-])", r"\\\1", begun)}[style]
            word = split_line(f"sshjobs logs {typed}")[-1]
            assert word.text == begun or (style == "'" and "'" in begun), (typed, word.text)
            put = word.completed(name, BREAKS)
            if put is None or (style == "'" and "'" in begun):
                continue
            kept = max((n + 1 for n, letter in enumerate(typed) if letter in BREAKS and typed[n - 1:n] != "\\"), default=0)
            lines.append(f"{style}{put}{style}" if style in ("'", '"') else typed[:kept] + put)
            meant.append(name)
    assert len(lines) > 2 * len(names)
    told = subprocess.run(["bash", "--norc", "-c", "\n".join(f"printf '%s\\0' {line}" for line in lines)], cwd=tmp_path,
                          capture_output=True, timeout=60, check=False, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/nosuch"})
    assert told.stdout.decode().split("\0")[:-1] == meant and not told.stderr
    assert not list(tmp_path.iterdir())


def test_a_word_that_cannot_be_completed_as_it_was_begun_is_left_alone() -> None:
    assert Word.read("'it").completed("it's", BREAKS) is None
    assert Word.read('"!').completed("!!", BREAKS) is None
    assert Word.read("a'b").completed("ab c", BREAKS) is None


@tries("# sshjobs completion")
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_what_is_installed_is_there_once_and_goes_away_again(shell: str, clean_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", f"/bin/{shell}")
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "ZDOTDIR"):
        monkeypatch.delenv(name, raising=False)
    rc = clean_home / f".{shell}rc"
    if shell != "fish":
        rc.write_text("alias x=y")
    for _ in range(2):
        assert call_here("completion", "install").returncode == 0
    text = rc.read_text() if shell != "fish" else ""
    assert text.count("# sshjobs completion") == (shell != "fish") and text.startswith("alias x=y\n"[:len(text)])
    files = [path for path in clean_home.rglob("*") if path.is_file() and path != rc]
    assert [path.read_text() for path in files] == [script(shell)] == [call_here("completion", "show").stdout]
    assert call_here("completion", "remove").returncode == 0
    assert not [path for path in clean_home.rglob("*") if path.is_file() and path != rc]
    assert shell == "fish" or rc.read_text() == "alias x=y\n"


@tries("name it: sshjobs completion install bash, zsh or fish", "read it from where you like: sshjobs completion show {}")
def test_a_shell_that_is_not_known_is_to_be_named(clean_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    told = call_here("completion", "install")
    assert (told.returncode, told.stderr) == (
        2, "sshjobs: which shell is to complete is not known: SHELL is 'tcsh'; name it: sshjobs completion install bash, zsh or fish\n")
    assert call_here("completion", "install", "bash").returncode == 0
    (clean_home / ".local" / "share" / "sshjobs" / "completion.zsh").mkdir()
    told = call_here("completion", "install", "zsh")
    assert told.returncode == 1 and told.stderr.count("\n") == 1
    assert told.stderr.endswith("Is a directory; read it from where you like: sshjobs completion show zsh\n")
    assert call_here("completion", "show", "zsh").returncode == 0
