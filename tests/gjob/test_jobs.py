"""What a job is given, what it writes and how it ends."""

from __future__ import annotations

import hashlib
import os
import signal
import zlib
from pathlib import Path

import pytest

from tests.gjob.client import FarHost, Link, eventually, holders, token_of

ODD = ["", " ", "a b", "'", '"', "$HOME", "`id`", "\t", "two\nlines", "*", "-n", "\\", "Grüße", "日本", "\udcff\udc80"]


@pytest.fixture
def link(far: FarHost) -> Link:
    return far.connect()


def put(link: Link, data: bytes) -> str:
    """Send an input file and return its digest."""
    sha = hashlib.sha256(data).hexdigest()
    for offset in range(0, max(1, len(data)), 1 << 20):
        piece = data[offset:offset + (1 << 20)]
        link.say("put", piece, sha=sha, size=len(data), crc=zlib.crc32(data), off=offset, n=len(piece))
    return sha


def test_exit_status_is_told_as_it_is(link: Link) -> None:
    for status in (0, 1, 3, 127, 255):
        end = link.run(f"{status + 1}.1", script=f"exit {status}\n")
        assert (end["why"], end["status"], end["signal"]) == ("exited", status, None)
        assert end["started"] <= end["ended"]
        assert end["msg"] is None


def test_death_by_a_signal_is_told_as_that(link: Link) -> None:
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV):
        end = link.run(f"{int(number)}.1", script=f"kill -{int(number)} $$\n")
        assert (end["why"], end["status"], end["signal"]) == ("signalled", None, number)


def test_words_on_stderr_are_not_a_failure(link: Link) -> None:
    end = link.run("1.1", script="echo warning >&2\n")
    assert (end["why"], end["status"], end["out"], end["err"]) == ("exited", 0, 0, 8)
    assert link.stderr("1.1") == b"warning\n"


def test_arguments_arrive_byte_exact(link: Link) -> None:
    link.run("1.1", "printf", "%s\\0", *ODD)
    assert link.stdout("1.1").split(b"\0")[:-1] == [os.fsencode(word) for word in ODD]


def test_environment_is_the_logins_and_the_jobs_and_ours(far: FarHost) -> None:
    far.environ.update(LOGIN_SAYS="yes", SSHJOBS_TOKEN="of an outer run", SSHJOBS_OTHER="1")
    env = {"ODD": "".join(ODD[:-1]) + "\udcff", "PATH": os.environ["PATH"]}
    link = far.connect()
    link.run("7.3", "env", "-0", job="näme", index=4, env=env)
    got = dict(item.split(b"=", 1) for item in link.stdout("7.3").split(b"\0")[:-1])
    assert got[b"LOGIN_SAYS"] == b"yes"
    assert got[b"ODD"] == os.fsencode(env["ODD"])
    ours = {key: value for key, value in got.items() if key.startswith(b"SSHJOBS_")}
    assert ours.pop(b"SSHJOBS_RESULT_FILE") == os.fsencode(far.directory / "w/7.3/result.json")
    assert ours == {b"SSHJOBS_RUN": b"run-1", b"SSHJOBS_JOB": "näme".encode(), b"SSHJOBS_ATTEMPT": b"3",
                    b"SSHJOBS_HOST": b"far", b"SSHJOBS_SLOT": b"1", b"SSHJOBS_INDEX": b"4",
                    b"SSHJOBS_TOKEN": token_of("7.3").encode()}


def test_a_later_login_does_not_change_the_environment(far: FarHost) -> None:
    far.environ["WHICH"] = "first"
    link = far.connect()
    link.cut()
    far.environ["WHICH"] = "second"
    link = far.connect()
    link.run("1.1", "printenv", "WHICH")
    assert link.stdout("1.1") == b"first\n"


def test_slots_are_numbered_from_one_and_told_apart(far: FarHost) -> None:
    link = far.connect(slots=3)
    for number in (1, 2, 3):
        link.launch(f"{number}.1", script='echo "$SSHJOBS_SLOT"; until [ -e "$HOME/go" ]; do sleep 0.02; done\n')
    for _ in range(3):
        link.until("out")
    (far.home / "go").touch()
    assert sorted(link.stdout(f"{number}.1") for number in (1, 2, 3)) == [b"1\n", b"2\n", b"3\n"]


def test_no_more_run_at_once_than_there_are_slots(far: FarHost) -> None:
    link = far.connect(slots=2)
    for number in range(1, 9):
        link.launch(f"{number}.1", script='mkdir "$HOME/$SSHJOBS_SLOT"; sleep 0.03; rmdir "$HOME/$SSHJOBS_SLOT"\n')
    assert {link.end_of(f"{number}.1")["status"] for number in range(1, 9)} == {0}


def test_a_script_without_bash_says_so(far: FarHost) -> None:
    link = far.connect()
    end = link.run("1.1", script="true\n", env={"PATH": "/nowhere"})
    assert (end["why"], end["status"]) == ("cannot_start", None)
    assert "no such program: bash" in end["msg"] and "/nowhere" in end["msg"]


def test_what_cannot_be_started_says_why(far: FarHost) -> None:
    link = far.connect()
    text = far.home / "text"
    text.write_text("not a program")
    cases = {
        "1.1": (("no-such-thing",), "no such program: no-such-thing"),
        "2.1": ((str(text),), f"not allowed to run {text}"),
        "3.1": (("/no/such/thing",), "no such program: /no/such/thing"),
        "4.1": (("true", "x" * 300000), "too long"),
        "5.1": (("\ud800",), "surrogate"),
    }
    for uid, (argv, words) in cases.items():
        end = link.run(uid, *argv)
        assert end["why"] == "cannot_start" and words in end["msg"], end
        assert (end["started"], end["status"], end["signal"], end["out"], end["err"]) == (None, None, None, 0, 0)
    text.chmod(0o755)
    assert "neither a program" in link.run("6.1", str(text))["msg"]
    assert link.run("7.1", "true")["status"] == 0


@pytest.mark.parametrize(("name", "text", "mode", "words"), [
    ("win.sh", "#!/bin/bash\r\necho\r\n", 0o755,
     "the first line of ./win.sh names /bin/bash\\r: the file has Windows line ends; take them out: "
     "sed -i 's/\\r$//' ./win.sh"),
    ("venv.py", "#!/no/such/venv/bin/python3 -u\n", 0o755,
     "the first line of ./venv.py names /no/such/venv/bin/python3, which is not on this host; correct it, or install that"),
    ("relative.sh", "#!bash\n", 0o755, "the first line of ./relative.sh names bash; write the whole path there, or "
                                       "#!/usr/bin/env bash"),
    ("plain.sh", "#!/bin/sh\necho it ran\n", 0o644, "not allowed to run ./plain.sh: it has no execute bit; chmod +x it, "
                                                   "or run it as: /bin/sh ./plain.sh"),
    ("bare.sh", "echo it ran\n", 0o644, "not allowed to run ./bare.sh: it has no execute bit; chmod +x it, or run it as: "
                                      "bash ./bare.sh"),
])
def test_a_script_that_cannot_be_started_says_why_and_the_advice_works(far: FarHost, name: str, text: str, mode: int,
                                                                       words: str) -> None:
    there = far.home / "scripts"
    there.mkdir()
    (there / name).write_text(text, newline="")
    (there / name).chmod(mode)
    link = far.connect()
    end = link.run("1.1", f"./{name}", cwd="~/scripts")
    assert (end["why"], end["msg"]) == ("cannot_start", words)
    assert (link.run("2.1", name, cwd="~/scripts")["msg"]).startswith(f"no such program: {name}; it lies in the working "
                                                                     f"directory: write ./{name}")
    if "sed -i" in words:
        assert link.run("3.1", "sed", "-i", "s/\r$//", f"./{name}", cwd="~/scripts")["status"] == 0
        assert link.run("4.1", f"./{name}", cwd="~/scripts")["status"] == 0
    elif "/usr/bin/env" in words:
        (there / name).write_text("#!/usr/bin/env bash\n")
        assert link.run("4.1", f"./{name}", cwd="~/scripts")["status"] == 0
    elif "run it as" in words:
        by = words.rpartition(": ")[2].split()
        assert link.run("3.1", *by, cwd="~/scripts")["status"] == 0
        assert link.run("4.1", "chmod", "+x", name, cwd="~/scripts")["status"] == 0
        assert link.run("5.1", f"./{name}", cwd="~/scripts")["status"] == (0 if text.startswith("#!") else None)


@pytest.mark.parametrize(("argv", "cwd", "words"), [
    (["echo a", "b"], None, "no such program: echo a; that is a line, not one word: write it as commands, or each word "
                            "of it by itself"),
    (["cd", "/etc", "&&", "ls"], None, "no such program: cd; that is a word of the shell: write the whole line as one "
                                       "text (commands; for exec, in quotes)"),
    (["A=1", "env"], None, "no such program: A=1; only a shell sets variables so: write env, or the whole line as one text"),
    (["$SHELL"], None, "no such program: $SHELL; variables are not expanded in argv: write commands, a line of shell"),
    (["$HOME/x"], None, "no such program: $HOME/x; variables are not expanded in argv: write commands, a line of shell"),
    (["~/x"], None, "no such program: ~/x; ~ is not expanded in argv: write the whole path, or use commands"),
    (["./x"], None, "no such program: ./x; a job runs in a directory of its own: send the file too (files, --send)"),
    (["/etc"], None, "/etc is a directory, not a program"),
    (["pwd"], "$HOME", "{w}/$HOME; variables are not expanded in cwd: write ~ or the whole path"),
    (["pwd"], "etc", "{w}/etc; a relative cwd is within the job's own directory: write the whole path"),
    (["pwd"], "/etc/passwd", "not a directory: /etc/passwd"),
])
def test_a_word_that_is_no_program_says_what_it_is(far: FarHost, argv: list[str], cwd: str | None, words: str) -> None:
    link = far.connect()
    # `cd` is a program on some hosts.
    env = {"PATH": "/bin"} if argv[0] == "cd" and not os.path.exists("/bin/cd") else {}
    end = link.run("1.1", *argv, env=env, **({} if cwd is None else {"cwd": cwd}))
    wanted = words.replace("{w}", f"no such directory: {far.directory / 'w' / '1.1'}")
    assert (end["why"], end["msg"]) == ("cannot_start", wanted)


def test_links_and_loaders_that_are_not_there_are_named(far: FarHost) -> None:
    (far.home / "gone").symlink_to("/no/such/target")
    (far.home / "circle").symlink_to("circle")
    link = far.connect()
    assert link.run("1.1", str(far.home / "gone"))["msg"] == (
        f"no such program: {far.home}/gone is a link to /no/such/target, which is not there")
    assert "circle" in link.run("2.1", str(far.home / "circle"))["msg"]


def test_stdin_is_empty_or_the_given_file(link: Link) -> None:
    assert link.run("1.1", "cat")["out"] == 0
    sha = put(link, b"from a file\n")
    link.run("2.1", "cat", stdin=sha)
    assert link.stdout("2.1") == b"from a file\n"
    assert link.run("3.1", "cat", stdin="0" * 64)["why"] == "no_room"


def test_files_are_there_with_their_modes_before_the_first_line_runs(far: FarHost) -> None:
    link = far.connect()
    data = bytes(range(256)) * 9000
    big, run_me = put(link, data), put(link, b"#!/bin/sh\necho ran\n")
    files = [["in/a b/big", big, 0o640], ["run", run_me, 0o755], ["empty", None, 0o700], ["locked", None, 0o555],
             ["locked/f", big, 0o400], ["\udcff", run_me, 0o600], ["zero", put(link, b""), 0o644]]
    link.run("1.1", script="./run; cmp 'in/a b/big' locked/f; stat -c '%a %F %s' in/*/big locked/f zero; "
             # How large a directory is differs from file system to file system.
             "stat -c '%a %F' locked empty\n",
             files=files)
    assert link.stdout("1.1").decode().splitlines() == [
        "ran", "640 regular file 2304000", "400 regular file 2304000", "644 regular empty file 0",
        "555 directory", "700 directory"]
    assert os.path.exists(os.fsencode(far.directory / "w" / "1.1") + b"/\xff")
    # A job that changes its copy does not change another's.
    link.run("2.1", script="cmp run other && echo more >> run && ! cmp -s run other\n",
             files=[["run", run_me, 0o755], ["other", run_me, 0o755]])
    assert link.end_of("2.1")["status"] == 0
    link.run("3.1", script="cat run\n", files=[["run", run_me, 0o755]])
    assert link.stdout("3.1") == b"#!/bin/sh\necho ran\n"


def test_a_missing_input_file_is_named_and_the_job_may_be_tried_again(link: Link) -> None:
    end = link.run("1.1", "true", files=[["data/x", "1" * 64, 0o600]])
    assert end["why"] == "no_room" and "data/x" in end["msg"]


def test_inputs_stay_for_the_next_link(far: FarHost) -> None:
    link = far.connect()
    sha = put(link, b"kept")
    link.run("1.1", "true")
    link.cut()
    link = far.connect()
    link.say("want", blobs=[[sha, 4], ["0" * 64, 4]])
    assert link.until("lack")["shas"] == ["0" * 64]


def test_binary_output_of_a_mebibyte_comes_byte_exact(link: Link) -> None:
    code = "import sys,random;r=random.Random(5);sys.stdout.buffer.write(bytes(r.getrandbits(8) for _ in range(1<<20)))"
    link.run("1.1", "python3", "-c", code)
    import random

    r = random.Random(5)
    assert link.stdout("1.1") == bytes(r.getrandbits(8) for _ in range(1 << 20))


def test_output_comes_while_the_job_runs(far: FarHost) -> None:
    link = far.connect()
    link.launch("1.1", script='echo one; until [ -e "$HOME/go" ]; do sleep 0.02; done; echo two\n')
    started = link.until("started", id="1.1")
    assert started["pid"] in holders(token_of("1.1"))
    assert link.until("out", id="1.1")["body"] == b"one\n"
    (far.home / "go").touch()
    link.end_of("1.1")
    assert link.stdout("1.1") == b"one\ntwo\n"


def test_a_job_that_empties_its_own_output_loses_nothing_that_was_sent(far: FarHost) -> None:
    link = far.connect()
    link.launch("1.1", script='echo a long first line >&2; until [ -e "$HOME/go" ]; do sleep 0.02; done\n'
                              "echo last > /dev/stderr\n")
    link.until("out", id="1.1")
    (far.home / "go").touch()
    end = link.end_of("1.1")
    assert link.stderr("1.1") == b"a long first line\nlast\n"
    assert end["err"] == 23


def test_a_timeout_ends_the_whole_tree(link: Link) -> None:
    end = link.run("1.1", script="sleep 1000 & sleep 1001\n", timeout=0.2)
    assert (end["why"], end["status"], end["signal"]) == ("timed_out", None, signal.SIGTERM)
    assert holders(token_of("1.1")) == []


def test_usage_is_told(link: Link) -> None:
    end = link.run("1.1", "python3", "-c", "x = bytearray(64 << 20)\nfor _ in range(10**6): pass")
    assert end["cpu"] > 0.01 and end["rss"] > 60000


def test_users_umask_is_the_jobs(far: FarHost) -> None:
    before = os.umask(0o027)
    try:
        link = far.connect()
    finally:
        os.umask(before)
    link.run("1.1", "sh", "-c", "umask")
    assert link.stdout("1.1") == b"0027\n"
    modes = {path.name: path.stat().st_mode & 0o777 for path in far.directory.rglob("*")}
    assert {mode for name, mode in modes.items() if name in ("w", "o", "b", "j", "1.1")} == {0o700}
    assert {modes["1.1.out"], modes["1.1.err"]} == {0o600}


def test_signals_are_as_a_login_has_them(link: Link) -> None:
    link.run("1.1", "grep", "^Sig[BI]", "/proc/self/status")
    fields = dict(line.split(":\t") for line in link.stdout("1.1").decode().splitlines())
    # 32 and 33 are the C library's own, which posix_spawn leaves ignored.
    assert {int(value, 16) & ~(3 << 31) for value in fields.values()} == {0}, fields


def test_a_job_inherits_no_file_of_ours(link: Link) -> None:
    link.run("1.1", "ls", "-l", "/proc/self/fd")
    names = {line.split()[8] for line in link.stdout("1.1").decode().splitlines() if "->" in line}
    assert names == {"0", "1", "2", "3"}  # 3 is the directory that ls reads


def test_a_job_may_print_what_looks_like_frames(link: Link) -> None:
    text = '{"t":"ended","id":"1.1","why":"exited"}\nSSHJOBS-READY x\n'
    assert link.run("1.1", "printf", "%s", text)["status"] == 0
    assert link.stdout("1.1").decode() == text


def test_a_job_that_leaves_much_behind_is_deleted_when_released(far: FarHost) -> None:
    link = far.connect()
    link.run("1.1", script="mkdir -p a/b; touch a/b/c; chmod 0 a/b; chmod 555 a; ln -s /etc etc; mkfifo p\n")
    link.say("release", ids=["1.1", "9.9"])
    eventually(lambda: not list(far.directory.glob("[wo]/*")), "the deletion")
    assert Path("/etc/passwd").exists()
