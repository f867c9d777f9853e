"""The bad line is exactly as bad as it is told to be."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import BaseLab, DelayProxy, wait_until


class Echo:
    """A server that sends everything back and keeps what it got."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.got = b""
        self.ended = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self.listener.accept()
            except OSError:
                return  # Closed: the test is over.
            with line:
                try:
                    while chunk := line.recv(65536):
                        self.got += chunk
                        line.sendall(chunk)
                except ConnectionError:
                    self.ended.set()
            self.ended.set()

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self._thread.join(10)


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.close()


def connect(proxy: DelayProxy) -> socket.socket:
    return socket.create_connection((proxy.host, proxy.port), timeout=20)


def read_all(line: socket.socket) -> bytes:
    got = b""
    while chunk := line.recv(65536):
        got += chunk
    return got


def test_every_byte_is_delayed_both_ways_without_slowing_the_stream(echo: Echo) -> None:
    body = bytes(range(256)) * 4096
    with DelayProxy("127.0.0.1", echo.port, delay_ms=40) as proxy, connect(proxy) as line:
        began = time.monotonic()
        line.sendall(b"x")
        assert line.recv(1) == b"x"
        assert time.monotonic() - began >= 0.08

        def send() -> None:
            line.sendall(body)
            line.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        assert read_all(line) == body
        sender.join()
        assert proxy.carried == {"up": len(body) + 1, "down": len(body) + 1}


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("size", [0, 1, 1000])
def test_a_cut_comes_after_exactly_so_many_bytes_and_only_once(echo: Echo, size: int, reset: bool) -> None:
    with DelayProxy("127.0.0.1", echo.port) as proxy:
        proxy.cut_after(size, "up", reset=reset)
        with connect(proxy) as line:
            line.sendall(b"y" * 2000)
            try:
                read_all(line)
                was_reset = False
            except ConnectionResetError:
                was_reset = True
            assert was_reset == reset
        assert echo.ended.wait(10)
        assert echo.got == b"y" * size
        with connect(proxy) as line:
            line.sendall(b"z" * 2000)
            line.shutdown(socket.SHUT_WR)
            assert read_all(line) == b"z" * 2000


def test_a_cut_downwards_lets_exactly_so_many_bytes_arrive(echo: Echo) -> None:
    with DelayProxy("127.0.0.1", echo.port) as proxy, connect(proxy) as line:
        proxy.cut_after(7, "down")
        line.sendall(b"0123456789")
        assert read_all(line) == b"0123456"


def test_a_stalled_line_holds_everything_until_it_resumes(echo: Echo) -> None:
    with DelayProxy("127.0.0.1", echo.port) as proxy, connect(proxy) as line:
        proxy.stall()
        line.sendall(b"late")
        line.settimeout(0.1)
        with pytest.raises(TimeoutError):
            line.recv(4)
        assert echo.got == b""
        line.settimeout(20)
        proxy.resume()
        assert line.recv(4, socket.MSG_WAITALL) == b"late"


def test_a_reset_breaks_open_connections_and_takes_new_ones(echo: Echo) -> None:
    with DelayProxy("127.0.0.1", echo.port) as proxy:
        with connect(proxy) as line:
            line.sendall(b"a")
            assert line.recv(1) == b"a"
            proxy.reset()
            with pytest.raises(ConnectionResetError):
                line.recv(1)
        with connect(proxy) as line:
            line.sendall(b"b")
            assert line.recv(1) == b"b"
        assert proxy.accepted == 2


def test_a_target_that_refuses_is_told_to_the_client() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with DelayProxy("127.0.0.1", port) as proxy, connect(proxy) as line:
        wait_until(lambda: proxy.accepted, message="the proxy to accept")
        assert line.recv(1) == b""


def test_ssh_goes_through_the_proxy_and_still_checks_the_host_key(lab: BaseLab, tmp_path: Path) -> None:
    host = lab.hosts[0]
    with DelayProxy(host.address, host.port, delay_ms=5) as proxy:
        sent = {host.name: {"HostName": proxy.host, "Port": str(proxy.port)}}
        config = lab.write_ssh_config(tmp_path / "cfg", sent)
        argv = ["ssh", "-F", str(config), "-o", "BatchMode=yes", host.name, "hostname"]
        done = subprocess.run(argv, input="", capture_output=True, text=True, timeout=30, check=True)
        assert (done.stdout, done.stderr) == (f"{host.name}\n", "")
        assert proxy.carried["up"] > 1000


def test_the_proxy_works_as_a_proxy_command(lab: BaseLab, tmp_path: Path) -> None:
    host = lab.hosts[0]
    script = tmp_path / "slow"
    repository = Path(__file__).parents[2]
    proxy = f"{sys.executable} -m tests.lab.proxy --delay 5"
    script.write_text(f'#!/bin/sh\ncd {repository} && exec {proxy} "$@"\n')
    script.chmod(0o755)
    config = lab.write_ssh_config(tmp_path / "cfg", {host.name: {"ProxyCommand": f"{script} %h %p"}})
    argv = ["ssh", "-F", str(config), "-o", "BatchMode=yes", host.name, "cat; hostname"]
    body = "line\n" * 50_000
    done = subprocess.run(argv, input=body, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == body + f"{host.name}\n"
