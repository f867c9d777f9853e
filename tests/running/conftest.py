"""Fixtures of tests of runs."""

from __future__ import annotations

import pytest

from sshjobs.network.session.arrivals import ArrivingFiles


@pytest.fixture
def pieces(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Offset and size of each piece of a file that this process writes."""
    written: list[tuple[int, int]] = []
    write = ArrivingFiles.write

    def noted(self: ArrivingFiles, directory: str, path: str, offset: int, data: bytes, anew: bool) -> None:
        write(self, directory, path, offset, data, anew)
        written.append((offset, len(data)))

    monkeypatch.setattr(ArrivingFiles, "write", noted)
    return written
