"""Who may take what of a host that several runs and several persons share. Pure decisions.

All runs decide by the same rules on what all of them have written down, one after the other, so that at any time one of
those that wait comes before all others. A run holds all that a job needs or nothing of it, so nobody waits for anybody
who waits.
"""

MYPY = False
if MYPY:
    from typing import Iterable, Mapping

    Amounts = Mapping[str, int]

#: What every job takes some of. Persons have equal shares of it.
SLOTS = "slots"
#: Bytes of memory; what a counter of a hosts file is called here begins with the second.
MEMORY, COUNT = "memory", "count."
#: Bytes of disk. What is counted has the disk's name behind it, for homes may be on several.
SCRATCH = "scratch"
#: What a thing is called that is held by one at a time, as a GPU is by its UUID, begins with this.
UNIT = "unit."
#: Seconds for which others may take what is free while who waits needs more than that; from then on it is kept.
YIELDS = 5.0
#: Seconds after which somebody who was given nothing comes before all others, whatever those hold.
AGED = 60.0
_NO_LIMIT = 1 << 70


class Holding:
    """What somebody holds for one job.

    :ivar person: uid
    :ivar run: the run's 32 hex digits; ``name`` is what its user calls it
    :ivar amounts: how much of what
    :ivar since: when it was taken, in seconds of the clock that began with the boot
    :ivar host: under which name of the host, as paths have it
    """

    __slots__ = ("amounts", "host", "name", "person", "run", "since")

    def __init__(self, person: int, run: str, amounts: "Amounts", since: float = 0.0, name: str = "", host: str = ""):
        self.person, self.run, self.amounts, self.since = person, run, amounts, since
        self.name, self.host = name, host


class Wish:
    """What somebody waits for.

    :ivar figures: how much there is of what, as the run that waits sees it; what is not named there is not limited
    :ivar share: 1, or less for a person who wants less than an equal share
    :ivar since: when it began to wait; ``given``: when its run was last given something
    :ivar key: what no other wish has, so that of two that are equal else always the same comes first
    """

    __slots__ = ("amounts", "figures", "given", "host", "key", "person", "run", "share", "since")

    def __init__(self, person: int, run: str, amounts: "Amounts", figures: "Amounts", since: float, share: float = 1.0,
                 given: float = 0.0, key: str = "", host: str = ""):
        self.person, self.run, self.amounts, self.figures, self.since = person, run, amounts, figures, since
        self.share, self.given, self.key, self.host = share, given, key, host


def held(holdings: "Iterable[Holding]") -> "dict[str, int]":
    """Return how much is held of everything."""
    return sums(one.amounts for one in holdings)


def sums(several: "Iterable[Amounts]") -> "dict[str, int]":
    """Return how much all of them are of everything."""
    found: "dict[str, int]" = {}
    for amounts in several:
        _add(found, amounts)
    return found


def lacking(amounts: "Amounts", total: "Amounts", figures: "Amounts") -> "list[str]":
    """Return of what there is not enough beside what is held."""
    return [what for what, amount in amounts.items()
            if total.get(what) and total[what] + amount > _figure(figures, what)]


def may_take(wish: Wish, holdings: "list[Holding]", wishes: "list[Wish]", now: float) -> bool:
    """Tell whether what somebody wants is free, and nobody who waits comes first for it.

    What the run itself holds under other names of the host does not count: to that run those are other hosts.

    :param wishes: of all who wait, with or without this one
    :param now: of the clock that began with the boot
    """
    total = held(one for one in holdings if one.run != wish.run or one.host == wish.host)
    if not _fits(wish.amounts, total, wish.figures):
        return False
    first = _first_of(wish, wishes, holdings, now)
    if not first:
        return True
    total = held(holdings)
    kept: "dict[str, int]" = {}
    for other, aged in first:
        if any(total.get(what, 0) > _figure(other.figures, what) for what in other.amounts):
            continue  # By its own figures others have too much already: it does not keep them from the rest.
        before = _sum(total, kept)
        if _fits(other.amounts, _sum(before, wish.amounts), other.figures, only=wish.amounts):
            _add(kept, other.amounts)
        elif aged or _fits(other.amounts, before, other.figures,
                           but=wish.amounts if now - other.since >= YIELDS else None):
            return False
        # Else it lacks something that is not wanted here, or has not lacked it for long: this may go first.
    return True


def _first_of(wish: Wish, wishes: "list[Wish]", holdings: "list[Holding]", now: float) -> "list[tuple[Wish, bool]]":
    """Return those who come before a wish, in their order, each with whether it has waited for very long."""
    rivals = [one for one in wishes if one.key != wish.key and (one.run != wish.run or one.host == wish.host)]
    if not rivals:
        return []
    used: "dict[int, int]" = {}
    for holding in holdings:
        used[holding.person] = used.get(holding.person, 0) + holding.amounts.get(SLOTS, 0)
    share: "dict[int, float]" = {}
    given: "dict[int, float]" = {}
    for one in rivals + [wish]:
        share[one.person] = min(one.share, share.get(one.person, 1.0))
        given[one.person] = max(one.given, given.get(one.person, 0.0))

    def rank(one: Wish) -> "tuple[float, float, str]":
        since = min(one.since, now)
        if _is_aged(one, given, now):
            return -1.0, since, one.key
        return used.get(one.person, 0) / share[one.person], since, one.key

    own = rank(wish)
    return [(one, _is_aged(one, given, now)) for one in sorted(rivals, key=rank) if rank(one) < own]


def _is_aged(wish: Wish, given: "dict[int, float]", now: float) -> bool:
    return now - max(wish.since, given[wish.person]) >= AGED


def _fits(amounts: "Amounts", total: "Amounts", figures: "Amounts", only: "Amounts | None" = None,
          but: "Amounts | None" = None) -> bool:
    """Tell whether there is enough of everything, or, where nothing of it is held, all that there will ever be.

    :param only: look at nothing but these; ``but``: at all else
    """
    for what, amount in amounts.items():
        if (only is not None and not only.get(what)) or (but is not None and but.get(what)):
            continue
        taken = total.get(what, 0)
        if taken and taken + amount > _figure(figures, what):
            return False
    return True


def _figure(figures: "Amounts", what: str) -> int:
    return 1 if what.startswith(UNIT) else figures.get(what, _NO_LIMIT)


def _sum(one: "Amounts", other: "Amounts") -> "dict[str, int]":
    found = dict(one)
    _add(found, other)
    return found


def _add(to: "dict[str, int]", amounts: "Amounts") -> None:
    for what, amount in amounts.items():
        to[what] = to.get(what, 0) + amount
