"""A server of pages in this process, and a browser to look at them with."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import httpx

from sshjobs.web.server import Settings, WebServer
from sshjobs.web.sources import Sources

#: Debian's, as .ci/system installs it.
CHROMIUM = "/usr/bin/chromium"
#: Without these it looks for hosts elsewhere.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]
#: How often a page is opened anew at most because the networks of this machine change.
MOST_CHANGES = 10


class Served:
    """A server that answers."""

    def __init__(self, server: WebServer):
        self.server = server
        self.address = f"{'https' if server.secure else 'http'}://127.0.0.1:{server.port}"
        self.bearer = {"Authorization": f"Bearer {server.token}"}

    def client(self, **more: Any) -> httpx.Client:
        """Return a client with the token."""
        return httpx.Client(base_url=self.address, headers=self.bearer, timeout=30, **more)

    @property
    def url(self) -> str:
        return f"{self.address}{self.server.url.partition(str(self.server.port))[2]}#token={self.server.token}"


@contextmanager
def serving(results: Path, **settings: Any) -> Iterator[Served]:
    """Serve the runs of a results directory until the end of the block."""
    server = WebServer(Sources(results), Settings(port=settings.pop("port", 0), **settings))
    up = threading.Event()
    thread = threading.Thread(target=lambda: server.serve(when_up=up.set))
    thread.start()
    try:
        assert up.wait(20)
        yield Served(server)
    finally:
        server.stop()
        thread.join(20)
        assert not thread.is_alive()


@contextmanager
def browser() -> Iterator[Any]:
    """Start Chromium; everything that it has open is closed with the block."""
    from playwright.sync_api import Error, Page, sync_playwright

    goto = Page.goto

    def patiently(page: Page, url: str, **keys: Any) -> object:
        # Other tests make networks and take them away, and Chromium then gives up whatever it is about to load.
        for _ in range(MOST_CHANGES):
            try:
                return goto(page, url, **keys)
            except Error as error:
                if "ERR_NETWORK_CHANGED" not in error.message:
                    raise
        return goto(page, url, **keys)

    with mock.patch.object(Page, "goto", patiently), sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield started
        finally:
            started.close()
