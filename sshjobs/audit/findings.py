"""What an audit finds."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sshjobs.errors import printable


@dataclass(frozen=True, order=True)
class Disagreement:
    """A disagreement between two of store, files and hosts: what is wrong, where, why, and what to do about it."""

    where: str
    what: str
    why: str
    hint: str

    def __str__(self) -> str:
        return printable(f"{self.where}: {self.what}: {self.why}; {self.hint}")

    def as_dict(self) -> dict[str, Any]:
        """Return it as data that can be written as JSON."""
        return asdict(self)
