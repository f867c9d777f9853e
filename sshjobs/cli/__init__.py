"""The command line: one file a command, loaded when it is used."""

from __future__ import annotations

from sshjobs.cli.app import main

__all__ = ["main"]
