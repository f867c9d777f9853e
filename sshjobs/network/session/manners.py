"""The frame that tells a host its manners."""

from __future__ import annotations

from typing import Any

from sshjobs.model.given import LONGEST_S
from sshjobs.model.host import AT_END, Host


def has_manners(host: Host) -> bool:
    """Return whether a host has any manners that it must be told."""
    return any(one is not None for one in (host.max_load, host.min_free, host.only, host.until))


def manners_of(host: Host, now: float) -> dict[str, Any]:
    """Return the keys of the frame ``manners``.

    :param now: seconds since the epoch. The host is told for how long it may be used, as its clock may be wrong
    """
    left = None if host.until is None else min(max(0.0, host.until - now), LONGEST_S)
    return {"load": host.max_load, "free": host.min_free, "only": None if host.only is None else list(host.only),
            "at_end": host.at_end or AT_END[0], "left": left}
