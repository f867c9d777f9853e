"""Hints about jobfiles and hosts files: each mistake is made, and what is said is then accepted."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from sshjobs.errors import InputError, SshjobsError, UsageError
from sshjobs.inputs import hostfile
from sshjobs.inputs.clusterfile import load_clusterfile
from sshjobs.inputs.hostfile import load_hosts
from sshjobs.inputs.jobfile import load_jobfile
from tests.hints import Row, matches, tries
from tests.hints.acts import dry, run_all

MANY_WORDS = "[" + ", ".join(["x" * 100_000] * 10) + "]"


def file(text: str | bytes) -> Callable[[], object]:
    """Return what reads a jobfile."""
    return lambda: load_jobfile("jobs.yaml", text.encode() if isinstance(text, str) else text)


def jobs(text: str) -> Callable[[], object]:
    """Return what reads a jobfile with this list of jobs."""
    return file(f"jobs:\n{text}\n")


def job(text: str) -> Callable[[], object]:
    """Return what reads a jobfile with a job that has these keys besides its commands."""
    return jobs(f"- {{commands: a, {text}}}")


def hosts(text: str) -> Callable[[], object]:
    """Return what reads a hosts file; what it warns of counts as a mistake."""
    def act() -> None:
        Path("hosts.txt").write_text(text)
        taken(lambda: load_hosts("hosts.txt"))
    return act


def taken(act: Callable[[], object]) -> None:
    """Read hosts; what is warned of counts as a mistake."""
    with pytest.MonkeyPatch.context() as patch:
        said: list[str] = []
        patch.setattr(hostfile._LOG, "warning", lambda text, *values: said.append(text % values))
        act()
    if said:
        raise UsageError("\n".join(said))


def cluster(text: str) -> Callable[[], object]:
    """Return what reads a cluster file."""
    def act() -> object:
        Path("cluster").write_text(text)
        return load_clusterfile("cluster")
    return act


def where(name: str, value: object, act: Callable[[], object]) -> Callable[[], object]:
    """Return what does something while a name below sshjobs.inputs has another value, such as a smaller limit."""
    def limited() -> object:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(f"sshjobs.inputs.{name}", value)
            return act()
    return limited


ROWS = [
    # -- the jobfile as a whole
    Row("write jobs: and a list", file(""), file("jobs:\n- commands: a\n")),
    Row("write jobs: above it", file("- commands: a\n"), file("jobs:\n- commands: a\n")),
    Row("write each as an item of a list: - name: {}", file("jobs: {one: {commands: a}}"), jobs("- name: one\n  commands: a")),
    Row("write - commands: …", jobs("- echo a"), jobs("- commands: echo a")),
    Row("write - name: … and commands: …", jobs("- [a]"), jobs("- name: x\n  commands: a")),
    Row("write key: value", file("defaults: 3\njobs:\n- commands: a\n"), file("defaults:\n  timeout: 3\njobs:\n- commands: a\n")),
    Row("make it two", jobs("- {defaults: {timeout: 3}, commands: a}"), jobs("- {defaults: {timeout: 3}}\n- commands: a")),
    Row("correct these first", where("jobfile.MAX_PROBLEMS", 5, jobs("- x: 1\n" * 9)), jobs("- commands: a\n" * 9)),
    Row("lower repeat, or use more runs", jobs("- {commands: a, repeat: 999999}\n" * 2), jobs("- {commands: a, repeat: 999999}")),
    Row("choose another", jobs("- {name: x, commands: a}\n" * 2), jobs("- {name: x, commands: a}\n- {name: y, commands: a}")),
    Row("put text into files", jobs(f"- argv: {MANY_WORDS}"), jobs("- argv: [bash, script]\n  files: [script]")),
    # -- the keys of a job
    Row("add commands or argv", jobs("- name: x"), jobs("- {name: x, argv: [a]}\n- {name: y, commands: a}")),
    Row("keep one", job("argv: [a]"), jobs("- commands: a\n- argv: [a]")),
    Row("rename one", job("files: [hostname, /etc/hostname]"), job("files: [hostname, other/hostname]")),
    Row("write [program, argument, …]", jobs("- argv: []"), jobs("- argv: [program, argument]")),
    Row("use a file", jobs(f"- argv: [{'x' * 140_000}]"), jobs("- argv: [cat, script]\n  files: [script]")),
    Row("choose another name", job("env: {SSHJOBS_X: a}"), job("env: {MY_X: a}")),
    Row("choose another", job("env: {'A=B': a}"), job("env: {A: a}")),
    Row("write seconds (90) or units (1s, 2h30m, 1d)", job("timeout: soon"), job("timeout: 2h30m")),
    Row("take minutes", job("lease: 1s"), job("lease: 10m")),
    Row("leave the key out", job("hosts: ['']"), job("name: x")),
    Row("give it one, or take the key out", jobs("- commands: a\n  repeat:"), job("repeat: 3")),
    Row("write '' for empty text", job("env: {A: }"), job("env: {A: ''}")),
    Row("write [one, two]", job("files: {a: b}"), job("files: [script, script2]")),
    Row("write {NAME: text}", job("env: [A]"), job("env: {A: text}")),
    Row("write one text", job("name: [a]"), job("name: a")),
    Row("quote it", job("name: 3"), job("name: '3'")),
    Row("write a plain decimal number", job("retries: 0x3"), job("retries: 3")),
    Row("write it without quotes", job("retries: '3'"), job("retries: 3")),
    # -- files of a job
    Row("write after: {}, or correct it", jobs("- {name: p, commands: a, outputs: [x]}\n- {commands: a, files: [{from: p, path: x}]}"),
        jobs("- {name: p, commands: a, outputs: [x]}\n- {commands: a, after: p, files: [{from: p, path: x}]}")),
    Row("add outputs to it", jobs("- {name: p, commands: a}\n- {commands: a, after: p, files: [{from: p, path: x}]}"),
        jobs("- {name: p, commands: a, outputs: [x]}\n- {commands: a, after: p, files: [{from: p, path: x}]}")),
    Row("write where: to: NAME", job("files: [{path: /, to: in/}]"), job("files: [{path: /etc/hostname, to: NAME}]")),
    Row("leave cwd out, or make it a relative path", job("cwd: /x, outputs: {a: {carry: true}}"),
        job("cwd: x, outputs: {a: {carry: true}}")),
    Row("name a file or directory in it", job("files: [/]"), job("files: [/etc/hostname]")),
    Row("name a file", job("stdin: other"), job("stdin: other/hostname")),
    Row("name a regular file", job("stdin: pipe"), job("stdin: script")),
    Row("take it out", job("files: [piped]"), job("files: [script]")),
    Row("correct it, or take it out", job("files: [dangling]"), job("files: [linked]")),
    Row("put a copy in its place", job("files: [outward]"), job("files: [copied]")),
    # -- YAML
    Row("check quotes, colons and indentation here", jobs("- commands: 'a"), jobs("- commands: 'a'")),
    Row("a tab cannot indent; use spaces", file("jobs:\n\t- commands: a\n"), file("jobs:\n  - commands: a\n")),
    Row("give it a name", job("[a]: b"), job("name: b")),
    Row("quote it", job("env: {3: b}"), job("env: {'3': b}")),
    Row("quote it", job("name: 2024-99-99"), job("name: '2024-99-99'")),
    Row("keep one in each file", file("jobs:\n- commands: a\n---\njobs: []\n"), file("jobs:\n- commands: a\n")),
    Row("take \\0 out", job('name: "a\\0"'), job('name: "a"')),
    Row("write the character itself", where("yamlevents._Parser", yaml.SafeLoader, job('name: "\\ud83d"')), job('name: "😀"')),
    Row("make it flatter", job(f"files: {'[' * 200}{']' * 200}"), job("files: [script]")),
    Row("define it first", job("files: *x"), file("defaults: {files: &x [script]}\njobs:\n- {commands: a, files: *x}\n")),
    Row("take it out", job("files: &x [*x]"), job("files: [script]")),
    Row("write them out", file("defaults: {files: &x [" + "script, " * 600 + "]}\njobs:\n" + "- {commands: *x}\n" * 700),
        jobs("- commands: a\n")),
    Row("use repeat, or several files", where("yamlevents.MAX_NODES", 50, jobs("- commands: a\n" * 100)),
        where("yamlevents.MAX_NODES", 50, jobs("- {commands: a, repeat: 100}"))),
    Row("write << : [*a, *b] instead", file("defaults: {env: &a {A: a}}\njobs:\n- {commands: a, env: {<<: *a, <<: *a}}\n"),
        file("defaults: {env: &a {A: a}}\njobs:\n- {commands: a, env: {<< : [*a, *a]}}\n")),
    Row("keep one of them", job("name: a, name: b"), job("name: a")),
    Row("take it out", job("name: !!str a"), job("name: a")),
    # -- bytes
    Row("it is UTF-16; save it as UTF-8", file("jobs:\n- commands: é\n".encode("utf-16")), file("jobs:\n- commands: é\n")),
    Row("save it as UTF-8", file("jobs:\n- commands: é\n".encode("latin-1")), file("jobs:\n- commands: é\n")),
    Row("take it out", file("jobs:\n- commands: a\x1bb\n"), file("jobs:\n- commands: ab\n")),
    Row("split it into several files", lambda: load_jobfile("large.yaml"), lambda: load_jobfile("jobs.yaml")),
    # -- hosts files
    Row("check the path", lambda: load_hosts("./absent"), lambda: load_hosts("./there")),
    Row("name one a line, or write localhost", hosts("# none\n"), hosts("localhost\n")),
    Row("name fewer", where("hostfile.MAX_HOSTS", 5, hosts("".join(f"h{n}\n" for n in range(9)))), hosts("h1\nh2\n")),
    Row("take it out", hosts("h1 \x1b\n"), hosts("h1\n")),
    Row("write h1,h2 or node[01-16]", lambda: load_hosts("h1,,h2"), lambda: [load_hosts("h1,h2"), load_hosts("node[01-16]")]),
    Row("keep one of them", hosts("n[1-2]\nn1\n"), hosts("n[1-2]\nn3\n")),
    Row("did you mean {}=?", hosts("h1 slot=2\n"), hosts("h1 slots=2\n")),
    Row("there are slots=N, memory=SIZE, scratch=SIZE, gpus=0,1, gpu_busy=SIZE, count.NAME=N, share=0.5, python=PATH, wrap=… and env.NAME=…, "
        "and for manners max_load=N, min_free=SIZE, only=HH:MM-HH:MM, at_end=WORD, until=DATE and nice=N",
        hosts("h1 zzz=2\n"),
        hosts("h1 slots=2 memory=64G scratch=1T gpus=0,1 gpu_busy=1G count.license=2 python=/usr/bin/python3 wrap=nice env.A=1 max_load=8 "
              "min_free=8G only=20:00-08:00 at_end=stop until=2100-01-01T00:00 nice=5\n")),
    Row("write count.license=2", hosts("h1 count.2=1\n"), hosts("h1 count.license=2\n")),
    Row("write {}=…", hosts("h1 count.memory=1\n"), hosts("h1 memory=1G\n")),
    Row("call it by another name", hosts("h1 count.cpus=1\n"), hosts("h1 count.cards=1\n")),
    Row('write wrap="nice -n 5"', hosts('h1 wrap="nice -n 5\n'), hosts('h1 wrap="nice -n 5"\n')),
    Row('write wrap="apptainer exec img.sif"', hosts("h1 wrap=\n"), hosts('h1 wrap="apptainer exec img.sif"\n')),
    Row("write wrap=\"apptainer exec 'my img.sif'\"", hosts("h1 wrap=\"apptainer exec 'my img.sif\"\n"),
        hosts("h1 wrap=\"apptainer exec 'my img.sif'\"\n")),
    Row("write env.NAME=VALUE", hosts("h1 env.=1\n"), hosts("h1 env.A=1\n")),
    Row("use a file on the host", hosts(f"h1 env.A={'x' * 131_072}\n"), hosts("h1 env.A_FILE=/opt/a\n")),
    Row("part hosts by commas; tags go in a hosts file", lambda: load_hosts("h1 gpu"),
        lambda: [load_hosts("h1,gpu"), hosts("h1 gpu\n")()]),
    Row("to leave that to its cores name it once", hosts("h1\nh1\nh2\n"), hosts("h1\nh2\n")),
    Row("take that away: chmod o-w", lambda: run_all(lambda: os.chmod("there", 0o666), lambda: taken(lambda: load_hosts("there"))),
        lambda: run_all(lambda: os.chmod("there", 0o644), lambda: taken(lambda: load_hosts("there")))),
    Row("for {} jobs at a time write slots={}", hosts("h1 4 gpu\n"), hosts("h1 slots=4 gpu\n")),
    Row("write one host a line", hosts("h1 h2\n"), hosts("h1\nh2\n")),
    Row("write slots={}", hosts("h1 slots:4\n"), hosts("h1 slots=4\n")),
    Row("for {} jobs at a time (as MPICH writes it) write {} slots={}, for such a port write Port into ssh_config",
        hosts("h1:4\n"), hosts("h1 slots=4\n")),
    Row("ssh reads that file itself: --ssh-config FILE", hosts("Host h1\n  HostName 10.0.0.1\n"),
        lambda: run_all(hosts("h1\n"), dry("--hosts", "h1", "--ssh-config", "config", "echo", ":::", "a"))),
    Row("or write its hosts, one a line, with the group as tag", hosts("all: h[1-4]\n"), hosts("h1 all\nh2 all\n")),
    Row("the first line is the management host", cluster("\n"), cluster("m\nw\n")),
    Row("name them below it", cluster("m\n"), cluster("m\nw\n")),
]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean_home: Path) -> None:
    """Files of every kind that a jobfile may name."""
    monkeypatch.chdir(tmp_path)
    for directory in ("here", "other", "piped", "dangling", "outward", "linked", "copied"):
        Path(directory).mkdir()
    for name in ("script", "script2", "hostname", "here/x", "x", "other/hostname", "linked/there", "copied/there"):
        Path(name).write_text("x\n")
    for name in ("pipe", "piped/pipe"):
        os.mkfifo(name)
    Path("dangling/link").symlink_to("absent")
    Path("outward/link").symlink_to("../script")
    Path("linked/link").symlink_to("there")
    Path("there").write_text("h1\n")
    Path("config").write_text("Host h1\n  HostName x\n")
    Path("jobs.yaml").write_text("jobs: [{commands: a}]\n")
    with open("large.yaml", "wb") as large:
        large.truncate(1 << 30)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.hint[:60])
def test_what_a_hint_says_is_accepted(row: Row) -> None:
    with pytest.raises(SshjobsError) as error:
        row.wrong()
    assert matches(row.hint, str(error.value)), error.value
    row.right()


@tries("see chmod")
def test_what_may_be_read_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as closed:
        closed.setattr(os, "access", lambda path, mode: False)
        with pytest.raises(InputError, match="cannot be read: no permission; see chmod"):
            jobs("- {commands: a, files: [script]}")()
    jobs("- {commands: a, files: [script]}")()
