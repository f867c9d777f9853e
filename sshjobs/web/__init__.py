"""The cluster in a browser: a server that reads runs' stores and acts through their managers, and its pages.

The server is a process or thread of its own beside the runs: no run depends on it. It needs ``sshjobs[web]``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sshjobs.web.program import HTTPServer

__all__ = ["HTTPServer"]


def __getattr__(name: str) -> Any:
    if name != "HTTPServer":
        raise AttributeError(f"module 'sshjobs.web' has no attribute {name!r}")
    from sshjobs.web.needs import check_installed

    check_installed()
    from sshjobs.web.program import HTTPServer

    return HTTPServer
