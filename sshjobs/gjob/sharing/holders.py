"""Who holds how much, added up for people."""

from .. import system
from .rules import MEMORY, SLOTS, UNIT

MYPY = False
if MYPY:
    from typing import Any

    from .rules import Holding

#: Seconds for the name of a user: it may come from far.
_PATIENCE = 1.0


def count(holdings: "list[Holding]") -> "list[dict[str, Any]]":
    """Return what each run of each person holds, those with most slots first; ``since`` is by the clock that began with
    the boot."""
    found: "dict[tuple[int, str], dict[str, Any]]" = {}
    for one in holdings:
        sums = found.setdefault((one.person, one.run), {
            "uid": one.person, "user": None, "run": one.name, "jobs": 0, "slots": 0, "memory": 0, "units": [],
            "since": one.since})
        sums["jobs"] += 1
        sums["slots"] += min(one.amounts.get(SLOTS, 0), 1 << 20)
        sums["memory"] += min(one.amounts.get(MEMORY, 0), 1 << 50)
        sums["units"] += [what[len(UNIT):] for what in sorted(one.amounts) if what.startswith(UNIT)]
        sums["since"] = min(one.since, sums["since"])
    return sorted(found.values(), key=lambda sums: (-sums["slots"], sums["uid"], sums["run"]))


def user_name(uid: int) -> "str | None":
    """Return the name of a user, as the system knows it; it is never what stands in a file of that user."""
    words = system.ask(["getent", "passwd", "%d" % uid], _PATIENCE).decode("utf-8", "replace").split(":")
    return words[0][:100] if len(words) > 2 and words[2] == "%d" % uid else None
