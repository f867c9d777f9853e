"""What failures of one kind have in common that those which passed have not: a host, or values of parameters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sshjobs.diagnosis.groups import MOST_VALUES, Kind
from sshjobs.store.failed import Entry, FailureReader

#: So many failures, and as many that passed, are more than chance where nothing else speaks for it.
ENOUGH = 3
#: Hosts that are named as those where jobs passed.
MOST_HOSTS = 3


class Common(NamedTuple):
    """Something that all failures of a kind have.

    :ivar what: ``host``, or the name of a parameter
    :ivar passed_with: how many jobs of the same entries passed with it; ``passed_without``: with something else
    :ivar elsewhere: hosts where those passed that differ in their host at most, that have the same parameters where
        they have any (``has_parameters``): for ``host`` only
    """

    what: str
    value: str
    passed_with: int
    passed_without: int
    elsewhere: tuple[str, ...] = ()
    has_parameters: bool = False

    def is_to_blame(self, failures: int) -> bool:
        """Tell whether that explains the failures: the same passed with another host; or none passed with it and some
        did with others, more often than chance would have it."""
        if self.what == "host" and self.elsewhere and not self.passed_with:
            return True
        return not self.passed_with and min(failures, self.passed_without) >= ENOUGH


class _Passed:
    """What is counted of the jobs that passed, for one kind."""

    def __init__(self, kind: Kind, entries: Mapping[int, Entry]):
        self.host = next(iter(kind.hosts)) if len(kind.hosts) == 1 else None
        #: By the name of a parameter its value, where all failures have one; the places of these in each spec.
        self.values: dict[str, str] = {}
        self.places: dict[int, dict[str, int]] = {}
        self._common(kind, entries)
        self.kind, self.here, self.elsewhere = kind, 0, Counter[str]()
        self.with_value, self.without_value, self.same = Counter[str](), Counter[str](), Counter[str]()

    def _common(self, kind: Kind, entries: Mapping[int, Entry]) -> None:
        found: dict[str, Counter[str | None]] = {}
        for spec in kind.specs:
            names = entries[spec].params if spec in entries else ()
            self.places[spec] = {name: place for place, name in enumerate(names)}
            for place, name in enumerate(names):
                found.setdefault(name, Counter()).update(kind.values.get((spec, place), {}))
        for name, values in found.items():
            value = next(iter(values))
            if len(values) == 1 and value is not None and values[value] == kind.number:
                self.values[name] = value

    def take_host(self, host: str | None) -> None:
        """Count where a job passed."""
        if host is not None and host == self.host:
            self.here += 1
        elif host is not None and (host in self.elsewhere or len(self.elsewhere) < MOST_VALUES):
            self.elsewhere[host] += 1

    def take(self, spec: int, params: str | None, values: Sequence[str | None], host: str | None) -> None:
        """Count with which parameters a job passed that is of an entry which failures are of, too."""
        if host is not None and host != self.host and (spec, params) in self.kind.samples:
            self.same[host] += 1
        for name, value in self.values.items():
            place = self.places[spec].get(name)
            if place is not None and place < len(values):
                (self.with_value if values[place] == value else self.without_value)[name] += 1

    def common(self) -> list[Common]:
        """Return what all failures have in common, what is to blame first."""
        found = []
        if self.host is not None:
            found.append(Common("host", self.host, self.here, self.elsewhere.total(),
                                tuple(host for host, _ in self.same.most_common(MOST_HOSTS)), bool(self.kind.values)))
        found += [Common(name, value, self.with_value[name], self.without_value[name])
                  for name, value in self.values.items()]
        return sorted(found, key=lambda one: not one.is_to_blame(self.kind.number))


def in_common(reader: FailureReader, kinds: Iterable[Kind], most: int | None = None) -> list[list[Common]]:
    """Return for each kind what its failures have in common. It reads the jobs of the run that passed once.

    What no job differs in is left out: where a run has one host, all is there.

    :param most: of the jobs that passed about so many at most are read, from all parts of the run
    """
    entries = reader.entries_by_spec()
    counted = [_Passed(kind, entries) for kind in kinds]
    # Where each job is an entry of its own, its like is all that the run has.
    of_all = [one for one in counted if one.host is not None and len(one.kind.specs) >= ENOUGH]
    by_spec: dict[int, list[_Passed]] = {}
    for one in counted:
        for spec in one.kind.specs if one.host is not None or one.values else ():
            by_spec.setdefault(spec, []).append(one)
    with_values = {spec for spec, several in by_spec.items() if spec in entries and any(one.values for one in several)}
    for spec, params, host in reader.passed(most) if by_spec else ():
        for one in of_all:
            one.take_host(host)
        if spec not in by_spec:
            continue
        values = entries[spec].values(params) if spec in with_values else ()
        for one in by_spec[spec]:
            one.take(spec, params, values, host)
            if one not in of_all:
                one.take_host(host)
    alone = reader.host_count() < 2
    return [[common for common in one.common() if not (common.what == "host" and alone)
             and (common.what == "host" or common.passed_without)] for one in counted]
