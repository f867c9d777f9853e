"""What may be done on our terminal: draw over what it shows, show colours; or lines only, one below the other."""

from __future__ import annotations

import os
from typing import TextIO

#: Seconds after which lines say again that a run goes on, where nothing may move on the screen.
STILL_S = 30.0


def accessible() -> bool:
    """Tell whether what we print is for a screen reader: lines that stay, and nothing told by its place or colour."""
    return os.environ.get("ACCESSIBLE", "").lower() not in ("", "0", "false", "no")


def obeys() -> bool:
    """Tell whether a terminal of ours is one that draws over what it shows, and is to do so."""
    return not accessible() and os.environ.get("TERM", "dumb") not in ("", "dumb", "unknown")


def redraws(stream: TextIO) -> bool:
    """Tell whether a stream is such a terminal."""
    return stream.isatty() and obeys()


def colours_wanted() -> bool:
    """Tell whether colours may be shown on a terminal."""
    return obeys() and not os.environ.get("NO_COLOR")


def still() -> float | None:
    """Return how often lines say that a run goes on; ``None`` where a silence is enough of an answer."""
    return STILL_S if accessible() else None
