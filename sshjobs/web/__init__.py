"""The cluster in a browser: a server that reads runs' stores and acts through their managers, and its pages.

A process or thread of its own beside the runs: whatever becomes of it, no run notices. Needs ``sshjobs[web]``.
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
