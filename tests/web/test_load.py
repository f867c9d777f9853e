"""Many connections, slow ones and huge requests: others are answered, memory is bounded, runs do not notice."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from sshjobs import JobSpec, Run
from tests.lab.waiting import wait_until
from tests.web.scale import Server, make_big, measure, server
from tests.web.serving import Served, serving

#: Connections that go no further, and readers that read nothing.
HALF_OPEN, SLOW = 500, 60
#: Bytes that a server may grow by meanwhile.
GROWTH = 40 << 20
BIG = 1 << 30


@contextmanager
def connections(served: Server, number: int, words: bytes) -> Iterator[list[socket.socket]]:
    """Open connections, say something on each, and read nothing."""
    port = int(served.address.rpartition(":")[2])
    with ExitStack() as stack:
        made = []
        for _ in range(number):
            one = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.sendall(words)
            made.append(one)
        yield made


def head(served: Server, method: str, path: str, *more: str) -> bytes:
    """The head of a request with the token."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {served.address.partition('//')[2]}", f"Authorization: Bearer {served.token}", *more]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@pytest.fixture
def started(results: Path) -> Iterator[Server]:
    with server(results) as served:
        with served.client() as client:
            wait_until(lambda: client.get("/api/runs/sweep-1/overview").json()["ready"], 20)
        yield served


def test_half_open_connections_and_slow_readers_hold_nobody_up(results: Path, started: Server) -> None:
    (results / "sweep-1" / "jobs" / "fit-12" / "stdout").write_bytes(b"x" * (64 << 20))
    before = started.status("VmRSS")
    download = head(started, "GET", "/api/runs/sweep-1/download?job=fit-12&stream=stdout")
    events = head(started, "GET", "/api/runs/sweep-1/events")
    specs = [JobSpec([f"while [ ! -e {results}/enough ]; do sleep 0.05; done"], name=f"nap-{n}") for n in range(8)]
    with Run.start(specs, ["localhost local slots=2"], results=results, name="live-1") as run, connections(started, HALF_OPEN, events[:-2]), connections(started, SLOW, download), \
            connections(started, SLOW, events), started.client() as client:
        for _ in range(20):
            assert client.get("/api/runs").status_code == 200
            assert client.get("/api/runs/live-1/jobs").status_code == 200
        assert client.post("/api/runs/live-1/pause", json={"jobs": None}).json()["live"]
        assert client.post("/api/runs/live-1/unpause", json={"jobs": None}).json()["live"]
        said = subprocess.run([sys.executable, "-m", "sshjobs", "status", "live-1", "--results", str(results)], capture_output=True,
                              text=True, timeout=60)
        assert "live-1" in said.stdout
        (results / "enough").touch()
        assert run.wait(60) == 0
        assert started.status("VmRSS") - before < GROWTH
    with started.client() as client:
        assert client.get("/api/runs").status_code == 200


@pytest.mark.parametrize("path", ["/api/runs/sweep-1/pause", "/api/session", "/api/runs", "/nothing", "/"])
def test_a_request_of_a_gigabyte_is_cut_off(started: Server, path: str) -> None:
    before = started.status("VmRSS")
    with connections(started, 1, head(started, "POST", path, "Content-Type: application/json", f"Content-Length: {BIG}")) as (one,):
        sent, piece = 0, b" " * (1 << 20)
        try:
            while sent < BIG:
                one.sendall(piece)
                sent += len(piece)
        except OSError:
            pass
        assert sent < BIG / 4
    assert started.status("VmHWM") - before < GROWTH
    with started.client() as client:
        assert client.get("/api/runs").status_code == 200


def test_what_begins_a_request_and_goes_no_further_is_ended(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sshjobs.web.connections.HEAD_WITHIN", 0.3)
    monkeypatch.setattr("sshjobs.web.routes.BODY_WITHIN", 0.3)
    with serving(results) as served:
        host = f"Host: 127.0.0.1:{served.server.port}\r\nAuthorization: Bearer {served.server.token}\r\n"
        for words, answer in ((b"", b""), (b"GET / HT", b""), (f"GET / HTTP/1.1\r\n{host}".encode(), b""),
                              (f"POST /api/runs/sweep-1/pause HTTP/1.1\r\n{host}Content-Length: 20\r\n\r\n{{".encode(), b"408")):
            with socket.create_connection(("127.0.0.1", served.server.port), timeout=60) as one:
                one.sendall(words)
                said = b""
                while data := one.recv(4096):
                    said += data
                assert answer in said and (said == b"") is (answer == b"")
        # A stream of events goes on, however long nothing is sent on it.
        with served.client() as client, client.stream("GET", "/api/runs/sweep-1/events") as stream:
            lines = stream.iter_lines()
            next(line for line in lines if line.startswith("data: "))
            monkeypatch.setattr("sshjobs.web.events.HEARTBEAT", 0.1)
            assert sum(1 for line, _ in zip((line for line in lines if line == ": here"), range(2), strict=False)) == 2


def test_beyond_a_number_of_connections_further_ones_are_closed(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sshjobs.web.connections.MOST", 5)
    monkeypatch.setattr("sshjobs.web.connections.most", lambda: 5)
    with serving(results) as served, ExitStack() as stack:
        first = [stack.enter_context(socket.create_connection(("127.0.0.1", served.server.port), timeout=20)) for _ in range(5)]
        for one in first:
            # It is known to the server: it has answered.
            one.sendall(f"GET /api/runs HTTP/1.1\r\nHost: 127.0.0.1:{served.server.port}\r\n\r\n".encode())
            assert b"401" in one.recv(4096)
        late = stack.enter_context(socket.create_connection(("127.0.0.1", served.server.port), timeout=20))
        try:
            assert late.recv(1) == b""
        except ConnectionResetError:
            pass
        for one in first:
            one.close()
        wait_until(lambda: _answers(served), 20)


def _answers(served: Served) -> bool:
    try:
        with served.client() as client:
            return client.get("/api/runs").status_code == 200
    except httpx.TransportError:
        return False


def test_a_large_run_has_small_pages_and_a_small_server(tmp_path: Path) -> None:
    """The sizes of ``python -m tests.web.scale``, on a run that is made in a second."""
    make_big(tmp_path / "results", 30_000)
    with server(tmp_path / "results") as served:
        found = measure(served, 30_000)
        assert max(size for _, size in found.values()) <= 200_000
        assert served.status("VmHWM") <= 150 << 20


def test_fifty_readers_are_told_from_one_look(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sshjobs.web.watch import RunWatch

    looks: list[str] = []
    look = RunWatch._overview

    def counted(self: RunWatch, *more: object) -> object:
        looks.append(self.name)
        return look(self, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(RunWatch, "_overview", counted)
    with serving(results) as served:
        got = []

        def read() -> None:
            with served.client() as client, client.stream("GET", "/api/runs/sweep-1/events") as stream:
                got.append(next(line for line in stream.iter_lines() if line.startswith("data: ")))

        readers = [threading.Thread(target=read) for _ in range(50)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(30)
        assert len(got) == 50
        assert len(looks) < 25
