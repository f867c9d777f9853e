"""Hints to programs, about stores and about the pages in a browser: what leads to each, and that what it says works."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx
import pytest

from sshjobs import Manager, Network
from sshjobs.cli.detached import check_detach
from sshjobs.errors import SshjobsError, UsageError
from sshjobs.gjob.verbs.control import signal_number
from sshjobs.gjob.verbs.say import Trouble
from sshjobs.inputs import hostchoice
from sshjobs.model.host import Host
from sshjobs.model.spec import JobSpec
from sshjobs.network.transport import make_transport
from sshjobs.running import run as runs
from sshjobs.running.newrun import new_run
from sshjobs.running.requests import Target, carry_out
from sshjobs.running.run import Run
from sshjobs.store import ManagerIdentity, RunReader, RunStore, queries
from sshjobs.store.database import StoreBlockedError
from sshjobs.store.rundir import RunPaths, create_run
from sshjobs.views import found
from sshjobs.web import HTTPServer, needs, program
from sshjobs.web.server import Settings, WebServer
from sshjobs.web.sources import Sources
from tests.cli.runs import edit
from tests.hints import Row, matches, tries
from tests.hints.acts import cli, dry, run_all, says
from tests.lab import disks
from tests.web.serving import serving

FREE = RunPaths(Path("results"), "free")


def signalled(*words: str) -> None:
    """Read words for ``gjob kill`` and raise what it complains of as an error of ours."""
    try:
        signal_number(list(words))
    except Trouble as error:
        raise UsageError(str(error)) from error


def read_store() -> None:
    """Read all of a store."""
    with RunReader.open(FREE) as reader:
        list(reader.jobs())


def spoilt(spoil: Callable[[], object]) -> Callable[[], None]:
    """Return what spoils a store, whose copy lies beside it, and reads it then."""
    def act() -> None:
        shutil.copytree(FREE.root, "copy")
        spoil()
        read_store()
    return act


def brought_back() -> None:
    """Bring a store back from its copy, without the files that SQLite had made beside it, and read it."""
    for path in FREE.root.glob("run.db*"):
        path.unlink()
    shutil.copy("copy/run.db", FREE.store)
    read_store()


def version(number: int) -> None:
    """Have a store be of some version."""
    with contextlib.closing(sqlite3.connect(FREE.store)) as connection:
        connection.execute(f"PRAGMA user_version = {number}")



def many_followed() -> None:
    """Follow more jobs than can be."""
    with edit(Path("results"), "many", [f"x-{number}" for number in range(101)]):
        pass
    cli("logs", "--follow", "many", "x-*")()


def slow_expression(pattern: str) -> None:
    """Look for an expression in what never ends to match some of them, with little patience."""
    Path("slow").write_bytes(b"a" * 200 + b"!\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(found, "PATIENCE", 0.1)
        list(found.Search(pattern, regex=True).lines(Path("slow")))


def with_state(state: str) -> None:
    """Note a state of a run."""
    with edit(Path("results"), f"state-{state}", ["x"]) as made:
        made.store.set_run_state(state)


def made_of(host: str) -> None:
    """Make a run on one host."""
    new_run([JobSpec("a", name="x")], [Host(host)], Path("results")).store.close()


def pages(**settings: object) -> None:
    """Make a server of pages, and close its socket."""
    WebServer(Sources(Path("results")), Settings(**{"port": 0, **settings}))._socket.close()  # type: ignore[arg-type]


def certificate() -> None:
    """Make a certificate, its key, and a file with both."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
                    "2", "-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "cert.pem"], check=True, capture_output=True,
                   timeout=60)
    Path("both.pem").write_bytes(Path("cert.pem").read_bytes() + Path("key.pem").read_bytes())


ROWS = [
    # -- words of the command line
    Row("leave --follow out, or name fewer of them", many_followed,
        lambda: run_all(cli("logs", "many", "x-*"), cli("logs", "--follow", "two", "sim-1"))),
    Row("without -E it is looked for as it is", cli("grep", "-E", "a(", "two"), lambda: says("grep", "a(", "two")),
    Row("repeat nothing within what is repeated, as in (a+)+, or look for a text, without -E",
        lambda: slow_expression("(a+)+$"), lambda: run_all(lambda: slow_expression("a+$"), lambda: slow_expression("b"))),
    Row("see: sshjobs ls", cli("rm", "zzz-*"), cli("ls")),
    Row("name runs, or say how old: sshjobs rm --older 7d", cli("rm"),
        lambda: run_all(cli("rm", "--dry-run", "finished"), cli("rm", "--older", "7d", "finished"))),
    Row("leave one of them out", cli("rm", "--older", "7d", "--force"), cli("rm", "--older", "7d", "finished")),
    Row("write -9, -KILL or -s KILL", lambda: signalled("KILL"),
        lambda: run_all(lambda: signalled("-9"), lambda: signalled("-KILL"), lambda: signalled("-s", "KILL"))),
    Row("see: kill -l", lambda: signalled("-KILLL"),
        lambda: run_all(*(partial(signalled, "-s", name) for name in subprocess.run(
            ["bash", "-c", "kill -l"], capture_output=True, text=True, check=True).stdout.split() if name.startswith("SIG")))),
    Row("write [01-16]", lambda: hostchoice.choose_hosts(["n[01-016]"]), lambda: hostchoice.choose_hosts(["n[01-16]"])),
    Row("what is left running has nobody to read its pipe: have it write to a file of its own",
        lambda: JobSpec("a & echo b", output="pipe", leftovers="keep"),
        lambda: JobSpec("a > log & echo b", leftovers="keep")),
    Row("what is left running has nobody to keep its output short: have it write to a file of its own",
        lambda: JobSpec("a & echo b", output_limit="1M", leftovers="keep"),
        lambda: JobSpec("a > log & echo b", leftovers="keep")),
    Row("leave output_limit out", lambda: JobSpec(argv=["a"], call="3.11", output_limit=5), lambda: JobSpec(argv=["a"], call="3.11")),
    Row("leave --tag and --raw out", cli("logs", "--json", "--tag", "finished", "sim-1"), cli("logs", "--json", "finished", "sim-1")),
    Row("write --until started, or --until started=8", cli("wait", "finished", "--until", "8"),
        lambda: run_all(cli("wait", "finished", "--until", "started"), cli("wait", "finished", "--until", "started=8"))),
    Row("say how much it needs at first: memory: 4G",
        lambda: JobSpec("a", retries={"out_of_memory": {"memory": "x2"}}),
        lambda: JobSpec("a", retries={"out_of_memory": {"memory": "x2"}}, memory="4G")),
    Row("write [0, 2]", lambda: JobSpec("a", ok_exit="0,2"),  # type: ignore[arg-type]
        lambda: JobSpec("a", ok_exit=[0, 2])),
    # -- the store
    Row("use one of {}", lambda: with_state("over"), lambda: with_state("done")),
    Row("rename the job or host", lambda: made_of("a\udcff"), lambda: made_of("aÿ")),
    Row("bring it back from a copy; the outputs under jobs/ are unharmed",
        spoilt(lambda: FREE.store.write_bytes(b"x" * 5000)), brought_back),
    Row("bring run.db back from a copy; the outputs under jobs/ are unharmed",
        spoilt(lambda: FREE.store.write_bytes(b"")), brought_back),
    Row("use that sshjobs, or a newer one", lambda: run_all(lambda: version(99), read_store),
        lambda: run_all(lambda: version(queries.newest_version()), read_store)),
    Row("it may be of an older version: end it and resume the run with this one",
        lambda: carry_out({"do": "dance"}, Target(FREE, None, None)),  # type: ignore[arg-type]
        cli("cancel", "free", "--all")),
    Row("the newest are {}", cli("status", "zzz"), cli("status", "finished")),
    Row("the path must be that of a run directory, with run.db in it", cli("status", "results/other/zzz"),
        cli("status", "results/finished")),
    Row("its start was cut short and nothing ran; remove {}", lambda: run_all(lambda: create_run(Path("results"), name="cut"),
                                                                              cli("status", "cut")),
        lambda: run_all(lambda: shutil.rmtree("results/cut"), lambda: create_run(Path("results"), name="cut"))),
    Row("its start was cut short and nothing ran; remove that directory, or choose another --name",
        lambda: [create_run(Path("results"), name="cut") for _ in range(2)],
        lambda: run_all(lambda: create_run(Path("results"), name="another"), lambda: shutil.rmtree("results/cut"),
                        lambda: create_run(Path("results"), name="cut"))),
    Row("choose another --name, or resume that run", lambda: create_run(Path("results"), name="taken"),
        lambda: run_all(lambda: create_run(Path("results"), name="another"), cli("resume", "taken"))),
    # -- the pages
    Row("give --certfile (and --keyfile), or --insecure if the network is yours alone", lambda: pages(host="0.0.0.0"),
        lambda: run_all(certificate, lambda: pages(host="0.0.0.0", certfile="cert.pem", keyfile="key.pem"),
                        lambda: pages(host="0.0.0.0", certfile="both.pem"), lambda: pages(host="0.0.0.0", insecure=True))),
    Row("give --certfile too", lambda: run_all(certificate, lambda: pages(keyfile="key.pem")),
        lambda: pages(keyfile="key.pem", certfile="cert.pem")),
    Row("give a PEM file with a certificate and its key, or the key as --keyfile",
        lambda: run_all(certificate, lambda: pages(certfile="cert.pem")),
        lambda: run_all(lambda: pages(certfile="both.pem"), lambda: pages(certfile="cert.pem", keyfile="key.pem"))),
    Row("write it like /sshjobs", lambda: pages(base="sshjobs"), lambda: pages(base="/sshjobs")),
    Row("write it like lab.example, or lab.example:8443", lambda: pages(allowed_hosts=("https://lab.example/",)),
        lambda: run_all(lambda: pages(allowed_hosts=("lab.example",)), lambda: pages(allowed_hosts=("lab.example:8443",)))),
    Row("leave out --web, and show it by: sshjobs serve", lambda: check_detach(web=True), lambda: run_all(check_detach, pages)),
    # An address for documentation is nobody's.
    Row("give one of this machine with --host", lambda: pages(host="192.0.2.7", insecure=True), lambda: pages(host="127.0.0.1")),
]


@pytest.fixture(autouse=True)
def more(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of two jobs, and a place for the token of the pages."""
    monkeypatch.setenv("XDG_STATE_HOME", str(place / "state"))
    with edit(Path("results"), "two", ["sim-1", "sim-2"]) as made:
        made.done("sim-1")
        made.done("sim-2")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.hint[:60])
def test_what_a_hint_says_works(row: Row) -> None:
    with pytest.raises(SshjobsError) as error:
        row.wrong()
    assert matches(row.hint, str(error.value)), error.value
    row.right()


@tries("use a Python with SQLite {} or newer")
def test_a_newer_sqlite_reads_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as old:
        old.setattr(sqlite3, "sqlite_version_info", (3, 7, 17))
        with pytest.raises(SshjobsError, match=r"use a Python with SQLite 3\.24\.0 or newer"):
            read_store()
    assert sqlite3.sqlite_version_info >= (3, 24)
    read_store()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")
@tries("see whether the disk works and can be written to")
def test_a_disk_that_can_be_written_to_again_takes_what_was_to_be_written(tmp_path: Path) -> None:
    def take() -> None:
        store = RunStore.open(FREE)
        try:
            store.take_over(ManagerIdentity.this_process())
        finally:
            store.close()

    with disks.read_only(FREE.root, tmp_path / "side"), pytest.raises(StoreBlockedError) as error:
        take()
    assert str(error.value).endswith("see whether the disk works and can be written to")
    take()


@tries("see: nodeset -e {}")
def test_nodeset_tells_what_is_wrong_with_a_group(clean_home: Path) -> None:
    where = clean_home / ".config" / "clustershell"
    where.mkdir(parents=True)
    (where / "groups.conf").write_text("[Main]\ndefault: local\n\n[local]\nmap: false $GROUP\n")
    with pytest.raises(UsageError, match="see: nodeset -e @rack"):
        hostchoice.choose_hosts(["@rack"])
    nodeset = [shutil.which("nodeset") or str(Path(sys.executable).with_name("nodeset")), "-e", "@rack"]
    told = subprocess.run(nodeset, capture_output=True, text=True, timeout=60, check=False)
    assert told.returncode != 0 and told.stderr
    (where / "groups.conf").write_text("[Main]\ndefault: local\n\n[local]\nmap: echo n[1-3]\n")
    told = subprocess.run(nodeset, capture_output=True, text=True, timeout=60, check=True)
    dry("--hosts", "@rack", "echo", ":::", "a")()
    assert told.stdout.split() == [host.name for host in hostchoice.choose_hosts(["@rack"])]


@tries("call Setup or Resume first", "call its Setup first")
def test_a_manager_has_a_run_from_setup_and_resume_on() -> None:
    manager = Manager(1.0)
    with pytest.raises(SshjobsError, match="call Setup or Resume first"):
        manager.commit()
    with pytest.raises(SshjobsError, match="call its Setup first"):
        HTTPServer(manager, port=0)
    manager.Setup([JobSpec("true", name="x")], Network("results", ["localhost"], transport="local"), name="mine")
    manager.commit()
    server = HTTPServer(manager, port=0, poll_sec=0)
    try:
        assert httpx.get(server.url.partition("#")[0], timeout=30).status_code == 200
    finally:
        server.shutdown()
    manager.ProcessJobs()
    assert manager.exit_code == 0


@tries("it goes on")
def test_a_run_goes_on_when_nobody_waits_any_longer() -> None:
    run = Run.start([JobSpec("until [ -e go ]; do sleep 0.05; done", cwd=str(Path.cwd()))], name="mine")
    with pytest.raises(SshjobsError, match="the run has not ended in time; it goes on"):
        run.wait(0.01)
    Path("go").touch()
    assert run.wait(60) == 0


@tries("try again")
def test_a_manager_that_was_busy_answers_later(monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()
    run = Run.start([JobSpec("true", name="x")], name="mine", stays_open=True)
    run.manager.post(lambda: run_all(lambda: go.wait(60)))
    with monkeypatch.context() as hasty:
        hasty.setattr(runs, "REQUEST_TIMEOUT", 0.01)
        hasty.setattr(runs, "REQUEST_LOOK", 0.01)
        with pytest.raises(SshjobsError, match="the run's manager is too busy to answer; try again"):
            run.request({"do": "pause"})
    go.set()
    run.request({"do": "finish"})
    assert run.wait(60) == 0


@tries("it may have ended, or be too busy; try again")
def test_a_manager_of_a_program_is_asked_again_from_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = Manager(0.05)
    manager.Setup([JobSpec("true", name="x")], Network("results", ["localhost"], transport="local"), name="mine")
    ask = program._asking(manager)
    monkeypatch.setattr(program, "REQUEST_TIMEOUT", 0.01)
    with pytest.raises(SshjobsError, match="it may have ended, or be too busy; try again"):
        ask({"do": "pause"})
    monkeypatch.setattr(program, "REQUEST_TIMEOUT", 60.0)
    answers: list[object] = []
    asker = threading.Thread(target=lambda: answers.extend((ask({"do": "pause"}), ask({"do": "unpause"}))))
    asker.start()
    manager.ProcessJobs()
    asker.join(60)
    assert len(answers) == 2 and manager.exit_code == 0


@tries("install it with: pip install 'sshjobs[web]'")
def test_the_extra_of_the_pages_has_all_that_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as bare:
        bare.setattr(needs, "find_spec", lambda name: None)
        with pytest.raises(UsageError, match=r"install it with: pip install 'sshjobs\[web\]'"):
            needs.check_installed()
    asked = importlib.metadata.requires("sshjobs") or []
    assert {line.partition(">")[0] for line in asked if 'extra == "web"' in line} == set(needs.NEEDED)
    needs.check_installed()


@tries("install it: pip install fabric")
def test_fabric_is_what_the_transport_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as bare:
        bare.setitem(sys.modules, "fabric", None)
        bare.delitem(sys.modules, "sshjobs.network.transport.sshclient", raising=False)
        with pytest.raises(SshjobsError, match="install it: pip install fabric"):
            asyncio.run(make_transport("fabric").open(Host("h1")))

    async def connect() -> None:
        await (await make_transport("fabric").open(Host("127.0.0.1", port=1))).close()

    asyncio.run(connect())


@tries("choose another with --port; 0 takes any that is free")
def test_a_port_that_is_free_serves() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UsageError, match="choose another with --port; 0 takes any that is free"):
            pages(port=taken.getsockname()[1])
        with serving(Path("results"), port=0) as served, served.client() as client:
            assert client.get("/api/runs").status_code == 200
