"""The control socket: nobody else can use it, and a request is carried out once, or not at all and told so."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sshjobs.errors import LocalError, RunBusyError, SshjobsError, UsageError
from sshjobs.running import control
from sshjobs.running.control import ControlServer, ManagerGoneError, ask, listens, socket_directory, socket_path
from sshjobs.running.unattended import carry_out
from sshjobs.store import ManagerIdentity, RunReader, RunStore
from tests.cli.runs import make_run
from tests.lab.waiting import wait_until

#: What threads of servers died of.
failures: list[BaseException] = []
UID = "0123456789abcdef" * 2


@pytest.fixture(autouse=True)
def runtime(clean_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's runtime directory of this test's own, with a short path as real ones have."""
    with tempfile.TemporaryDirectory(prefix="sshjobs-test-", dir="/tmp") as directory:
        monkeypatch.setenv("XDG_RUNTIME_DIR", directory)
        yield Path(directory)


@pytest.fixture
def serve() -> Iterator[Callable[..., ControlServer]]:
    made: list[ControlServer] = []

    def make(handle: Callable[[dict[str, Any]], dict[str, Any]], uid: str = UID) -> ControlServer:
        made.append(ControlServer(uid, handle, failures.append))
        return made[-1]

    yield make
    for server in made:
        server.close()
    assert failures == []


def echo(request: dict[str, Any]) -> dict[str, Any]:
    return {"ok": True, "said": request}


def test_only_the_user_can_reach_the_socket(serve: Callable[..., ControlServer], runtime: Path) -> None:
    old = os.umask(0)
    try:
        serve(echo)
        assert os.umask(0) == 0, "the umask of the process is left alone"
    finally:
        os.umask(old)
    path = socket_path(UID)
    assert path.parent == runtime / "sshjobs"
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_ISSOCK(path.stat().st_mode) and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ask(UID, {"do": "x"}) == {"ok": True, "said": {"do": "x"}}


def spoil(directory: Path, how: str) -> None:
    """Put something in the place of a directory for sockets that must not be used as one."""
    match how:
        case "link":
            directory.with_name("elsewhere").mkdir(mode=0o700)
            directory.symlink_to(directory.with_name("elsewhere"))
        case "file":
            directory.write_text("")
        case _:
            directory.mkdir()
            directory.chmod(int(how, 8))


@pytest.mark.parametrize("how", ["777", "750", "701", "link", "file"])
def test_a_directory_that_is_not_the_user_s_alone_is_passed_over(
        runtime: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, how: str) -> None:
    places = [runtime / "sshjobs", tmp_path / "sshjobs"]
    monkeypatch.setattr(control, "_places", lambda: iter(places))
    spoil(places[0], how)
    assert socket_directory() == places[1]
    places.pop()
    with pytest.raises(LocalError, match="is not yours alone; remove it, or set XDG_RUNTIME_DIR"):
        socket_directory()


def test_a_directory_of_somebody_else_is_refused(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (runtime / "sshjobs").mkdir(mode=0o700)
    monkeypatch.setattr(control, "_places", lambda: iter([runtime / "sshjobs"]))
    monkeypatch.setattr(os, "getuid", lambda: os.geteuid() + 1)
    with pytest.raises(LocalError, match="is not yours alone"):
        ControlServer(UID, echo, failures.append)


def test_a_runtime_directory_of_another_user_counts_as_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    places = [tmp_path / "theirs" / "sshjobs", tmp_path / "sshjobs"]
    monkeypatch.setattr(control, "_places", lambda: iter(places))

    def mkdir(path: Path, mode: int = 0o777, parents: bool = False, real: Any = Path.mkdir) -> None:
        # Root may enter any directory: the refusal is played.
        if path == places[0]:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        real(path, mode, parents)
    monkeypatch.setattr(Path, "mkdir", mkdir)
    assert socket_directory() == places[1]


def test_a_runtime_directory_with_too_long_a_path_for_sockets_counts_as_none(
        serve: Callable[..., ControlServer], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for length in (control.LONGEST_RUNTIME, control.LONGEST_RUNTIME + 1):
        runtime = Path("/tmp") / f"sshjobs-{os.getpid()}-".ljust(length - len("/tmp/"), "x")
        runtime.mkdir(mode=0o700)
        try:
            monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
            serve(echo, f"{length:032x}")
            assert ask(f"{length:032x}", {"do": "x"}) == {"ok": True, "said": {"do": "x"}}
            assert (runtime / "sshjobs").exists() == (length == control.LONGEST_RUNTIME)
        finally:
            shutil.rmtree(runtime)


def test_without_a_manager_there_is_no_answer() -> None:
    assert ask(UID, {"do": "x"}) is None
    assert not listens(UID)


def test_a_socket_that_a_killed_manager_left_is_no_manager(serve: Callable[..., ControlServer]) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(str(socket_path(UID)))
    assert ask(UID, {"do": "x"}) is None
    serve(echo)
    assert listens(UID)


def test_a_refusal_comes_with_its_words_and_its_exit_code(serve: Callable[..., ControlServer]) -> None:
    def refuse(request: dict[str, Any]) -> dict[str, Any]:
        raise UsageError("no", where="there", hint="do that")

    serve(refuse)
    with pytest.raises(SshjobsError, match="there: no; do that") as caught:
        ask(UID, {"do": "x"})
    assert caught.value.exit_code == 2


def test_a_manager_that_leaves_has_done_nothing(serve: Callable[..., ControlServer]) -> None:
    def leave(request: dict[str, Any]) -> dict[str, Any]:
        raise ManagerGoneError("the run has ended")

    serve(leave)
    assert ask(UID, {"do": "x"}) is None


@pytest.mark.parametrize("line", [b"no json\n", b"[1]\n", b'"text"\n', b"\xff\xfe\n"])
def test_nonsense_is_answered_with_an_error(serve: Callable[..., ControlServer], line: bytes) -> None:
    serve(echo)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(str(socket_path(UID)))
        with connection.makefile("rwb") as stream:
            assert json.loads(stream.readline()) == {"sshjobs": "run"}
            stream.write(line)
            stream.flush()
            assert "error" in json.loads(stream.readline())
    assert ask(UID, {"do": "x"}) is not None, "it goes on with others"


def test_a_request_of_many_megabytes_passes(serve: Callable[..., ControlServer]) -> None:
    serve(lambda request: {"length": len(request["specs"])})
    assert ask(UID, {"do": "add", "specs": "x" * (40 << 20)}) == {"length": 40 << 20}


def test_a_hundred_at_once_all_have_their_own_answer(serve: Callable[..., ControlServer]) -> None:
    serve(echo)
    answers: dict[int, Any] = {}
    threads = [threading.Thread(target=lambda n=n: answers.update({n: ask(UID, {"n": n})})) for n in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert {n: answer["said"]["n"] for n, answer in answers.items()} == {n: n for n in range(100)}


def test_a_close_lets_who_was_heard_have_an_answer(serve: Callable[..., ControlServer]) -> None:
    heard, go = threading.Event(), threading.Event()

    def slow(request: dict[str, Any]) -> dict[str, Any]:
        heard.set()
        go.wait(30)
        return {"ok": True}

    server = serve(slow)
    answers: list[Any] = []
    asker = threading.Thread(target=lambda: answers.append(ask(UID, {"do": "x"})))
    asker.start()
    assert heard.wait(30)
    closer = threading.Thread(target=server.close)
    closer.start()
    go.set()
    asker.join(30)
    closer.join(30)
    assert answers == [{"ok": True}]
    assert not socket_path(UID).exists()


def test_who_was_heard_and_not_answered_is_told_to_look(serve: Callable[..., ControlServer],
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    def die(request: dict[str, Any]) -> dict[str, Any]:
        raise SystemExit

    serve(die)
    with pytest.raises(SshjobsError, match="it may have done it: look at sshjobs status before you try again"):
        ask(UID, {"do": "x"})
    # The run is told, and ends.
    wait_until(lambda: failures, 30, "the end of the thread to be heard")
    assert isinstance(failures.pop(), SystemExit)


def test_a_socket_that_goes_away_with_a_login_session_is_made_again(serve: Callable[..., ControlServer], runtime: Path,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "LOOK_EVERY", 0.05)
    server = serve(echo)
    socket_path(UID).unlink()
    (runtime / "sshjobs").rmdir()
    wait_until(lambda: listens(UID), 30, "the socket to be there again")
    assert ask(UID, {"do": "x"}) is not None
    server.close()
    assert not socket_path(UID).exists()


def test_a_manager_is_found_from_a_session_with_another_environment(serve: Callable[..., ControlServer], runtime: Path,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    serve(echo, uid="f" * 32)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    assert ask("f" * 32, {"do": "x"}) is not None


def test_a_server_does_not_remove_the_socket_of_the_one_after_it(serve: Callable[..., ControlServer]) -> None:
    first = serve(echo)
    serve(lambda request: {"second": True})
    first.close()
    assert ask(UID, {"do": "x"}) == {"second": True}


def test_requests_of_many_to_a_run_without_a_manager_are_all_carried_out(tmp_path: Path) -> None:
    paths = make_run(tmp_path / "results", "q")
    spec = {"cmds": ["true"], "name": "job"}
    added: list[str] = []

    def shell() -> None:
        for _ in range(5):
            added.extend(carry_out(paths, {"do": "add", "specs": [spec, spec]}).answer["jobs"])

    threads = [threading.Thread(target=shell) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with RunReader.open(paths) as reader:
        stored = [job.name for job in reader.jobs(after=3)]
        assert list(reader.contradictions()) == []
    assert len(stored) == len(set(stored)) == 40
    assert sorted(added) == sorted(stored)


def test_a_manager_on_another_machine_is_not_waited_for(tmp_path: Path) -> None:
    paths = make_run(tmp_path / "results", "q")
    store = RunStore.open(paths)
    store.take_over(ManagerIdentity(1, 1, "another boot", "another-machine", 0.0))
    store.close()
    with pytest.raises(RunBusyError, match="process 1 on another-machine"):
        carry_out(paths, {"do": "pause"})


def test_a_manager_that_does_not_listen_yet_is_waited_for(tmp_path: Path, serve: Callable[..., ControlServer],
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    paths = make_run(tmp_path / "results", "q")
    store = RunStore.open(paths)
    store.take_over(ManagerIdentity.this_process())
    with RunReader.open(paths) as reader:
        uid = reader.summary().uid
    monkeypatch.setattr("sshjobs.running.unattended.PATIENCE", 0.2)
    with pytest.raises(RunBusyError):
        carry_out(paths, {"do": "pause"})
    monkeypatch.setattr("sshjobs.running.unattended.PATIENCE", 30.0)
    later = threading.Timer(0.2, lambda: serve(echo, uid=uid))
    later.start()
    assert carry_out(paths, {"do": "pause"}).live
    later.join()
    store.close(0.0)
