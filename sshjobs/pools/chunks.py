"""What a worker says of the function that it was given."""

from __future__ import annotations


class RemoteTraceback(Exception):
    """The traceback where a function ran, as the cause of the exception that it raised."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"
