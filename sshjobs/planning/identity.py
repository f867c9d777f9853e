"""The identity of a job: two jobs of one identity are the same work, so a result of one counts for the other."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import NamedTuple

from sshjobs.model.after import afters_of
from sshjobs.model.keys import KEYS
from sshjobs.model.spec import JobSpec
from sshjobs.scheduling.dependencies import group_key, matched_names

#: Keys that are compared by the files that they name, or by the jobs that they select.
BY_CONTENT, BY_JOBS, BY_HOST = frozenset(("files", "stdin", "uses")), frozenset(("after",)), frozenset(("per_host",))
#: Keys that are compared as they are written.
AS_WRITTEN = tuple(name for name, key in KEYS.items() if key.identity and name not in BY_CONTENT | BY_JOBS | BY_HOST)
#: All keys that are digested as text.
_TEXTS = ("cmds", "argv", "call", *AS_WRITTEN)
#: How many bytes a digest has.
_SIZE = 16


class Work(NamedTuple):
    """What a job's identity is computed from.

    :ivar only_host: the host that a ``per_host`` job belongs to
    :ivar inputs: the digest of its inputs; empty where it has none, ``None`` where the digest is not known
    """

    spec: JobSpec
    only_host: str | None
    inputs: str | None


def reads(spec: JobSpec) -> bool:
    """Tell whether a job has inputs."""
    return bool(spec.files or spec.uses or spec.stdin is not None)


class Identities:
    """The identities of the jobs of one jobfile or one run.

    :param works: returns all jobs; called more than once where jobs wait for others. Where none does, it may return
        none
    """

    def __init__(self, works: Callable[[], Iterable[Work]]):
        self._shared: tuple[JobSpec | None, list[bytes]] = (None, [])
        #: For each entry that others wait for: the names of its parameters, and its jobs with their identities.
        self._names: dict[str, tuple[str, ...]] = {}
        self._members: dict[str, list[tuple[JobSpec, bytes | None]]] = {}
        self._groups: dict[tuple[str, tuple[str, ...]], Mapping[Hashable, int | None]] = {}
        awaits = awaited_by_entry(work.spec for work in works())
        entries = {entry for awaited in awaits.values() for entry in awaited}
        if entries:
            self._resolve(works, awaits, entries)

    def identity(self, work: Work) -> bytes | None:
        """Return the identity of a job; ``None`` where its inputs, or a job that it waits for, are not known."""
        followed = self._followed(work.spec) if work.spec.after else 0
        if work.inputs is None or followed is None:
            return None
        spec = work.spec
        params = sorted(spec.params.items()) if spec.param_names else ()
        own = repr((spec.index, params, work.only_host, work.inputs, followed))
        return hashlib.blake2b(self._of_entry(spec) + own.encode(), digest_size=_SIZE).digest()

    def _of_entry(self, spec: JobSpec) -> bytes:
        """Return the digests of a job's command and keys. What consecutive jobs of an entry share is digested once;
        what has placeholders of parameters is digested for each job."""
        last, digests = self._shared
        if last is None or not spec.repeats(last):
            digests = [_digest(getattr(spec, key)) for key in _TEXTS]
            self._shared = spec, digests
        if spec.templates:
            digests = [_digest(getattr(spec, key)) if key in spec.templates else digest
                       for key, digest in zip(_TEXTS, digests, strict=True)]
        return b"".join(digests)

    def _resolve(self, works: Callable[[], Iterable[Work]], awaits: Mapping[str, set[str]], entries: set[str]) -> None:
        """Find the identities of the jobs that others wait for, beginning with those that wait for none."""
        found: dict[str, list[Work]] = defaultdict(list)
        for work in works():
            if work.spec.entry_name in entries:
                found[work.spec.entry_name].append(work)
        for entry in in_order(awaits):
            if (members := found.pop(entry, None)) is not None:
                self._names[entry] = tuple(members[0].spec.param_names)
                self._members[entry] = [(work.spec, self.identity(work)) for work in members]

    def _followed(self, spec: JobSpec) -> int | None:
        """Return a number that stands for the identities of all jobs that a job waits for, whatever their order."""
        total = 0
        for after in afters_of(spec.after):
            names = tuple(name for name in matched_names(spec, after) if name in self._names.get(after.entry, ()))
            groups = self._groups.get((after.entry, names))
            if groups is None:
                groups = self._groups[after.entry, names] = self._summed(after.entry, names)
            part = groups.get(group_key(names, spec.params), 0)
            if part is None:
                return None
            total += part
        return total

    def _summed(self, entry: str, names: tuple[str, ...]) -> Mapping[Hashable, int | None]:
        """Return the sums of the identities of an entry's jobs, by the values of some parameters. Equal jobs count as
        often as there are."""
        sums: dict[Hashable, int | None] = {}
        for spec, identity in self._members.get(entry, ()):
            key = group_key(names, spec.params)
            before = sums.get(key, 0)
            sums[key] = None if identity is None or before is None else before + int.from_bytes(identity, "big")
        return sums


def _digest(value: object) -> bytes:
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode("ascii"), digest_size=_SIZE).digest()


def awaited_by_entry(specs: Iterable[JobSpec]) -> dict[str, set[str]]:
    """Return for each entry whose jobs wait for others the entries that they wait for."""
    awaits: dict[str, set[str]] = {}
    before: JobSpec | None = None
    for spec in specs:
        if spec.after and (before is None or not spec.repeats(before)):
            awaits.setdefault(spec.entry_name, set()).update(spec.after)
            before = spec
    return awaits


def in_order(awaits: Mapping[str, set[str]]) -> Iterator[str]:
    """Yield the entries, each after those that it waits for."""
    try:
        yield from TopologicalSorter(awaits).static_order()
    except CycleError:
        # A cycle. No run starts with one; a store that holds one anyway is compared as far as possible.
        yield from {*awaits, *(entry for awaited in awaits.values() for entry in awaited)}
