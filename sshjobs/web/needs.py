"""What the web pages need beyond sshjobs itself, and how to get it."""

from __future__ import annotations

from importlib.util import find_spec

from sshjobs.errors import UsageError

#: Packages of the extra ``web``.
NEEDED = ("starlette", "uvicorn")


def check_installed() -> None:
    """Make sure that the packages are there.

    :raises UsageError: with the command that installs them
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise UsageError("the web page cannot be served", why=f"not installed: {', '.join(missing)}",
                         hint="install it with: pip install 'sshjobs[web]'")
