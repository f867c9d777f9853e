"""An index of parameters: which jobs of a run have which values, in one byte for each job and parameter."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import lru_cache

from sshjobs.errors import UsageError
from sshjobs.model.params import value_key
from sshjobs.model.selection import Selection
from sshjobs.model.similar import similar
from sshjobs.store.indexrows import IndexJob

#: The most bytes of all columns together. In a run that would need more, the last parameters have no column.
MOST_BYTES = 16_000_000
#: So many different values fit into a byte.
MOST_VALUES = 255
#: Longer values, in characters, are not kept themselves.
_LONG = 100

_short_key = lru_cache(4_096)(value_key)


class Parameters:
    """The entry and the parameters of all jobs, a column of one byte a job for each."""

    def __init__(self) -> None:
        self._entries = _Column()
        self._columns: dict[str, _Column] = {}
        #: Parameters for which there is no room for a column.
        self.left_out: dict[str, None] = {}

    def read(self, rows: Sequence[IndexJob]) -> None:
        """Add jobs, in ascending order."""
        for row in rows:
            if row.entry is None:
                continue
            self._entries.put(row.number - 1, row.entry)
            for name, value in zip(row.names, row.values, strict=True):
                if value is not None and name not in self.left_out:
                    if name not in self._columns:
                        self._columns[name] = _Column()
                    self._columns[name].put(row.number - 1, _key(value))
        while rows and rows[-1].number * len(self._columns) > MOST_BYTES:
            self.left_out[self._columns.popitem()[0]] = None

    def masks(self, wanted: Selection, length: int) -> tuple[list[bytes], bool]:
        """Return masks with 1 for each job that may match a part of a selection: a job may match where all are 1. Also
        return whether such a job matches for certain.

        :param length: how many jobs there are
        :raises UsageError: no job has such a parameter, or the run is too large for it
        """
        for name in wanted.values:
            if name not in self._columns:
                raise self._unknown(name)
        masks, columns = self.possible(wanted.values, length), [self._columns[name] for name in wanted.values]
        if wanted.entry:
            masks.append(self.entry_mask(wanted.entry, length))
            columns.append(self._entries)
        return masks, all(column.exact for column in columns)

    def possible(self, values: Mapping[str, str], length: int) -> list[bytes]:
        """Return, for each value with a column, a mask with 1 for each job that may have it."""
        return [column.mask(_key(value), length) for name, value in values.items()
                if (column := self._columns.get(name)) is not None]

    def entry_mask(self, entry: str, length: int) -> bytes:
        """Return a mask with 1 for each job that may be of an entry."""
        return self._entries.mask(entry, length)

    def _unknown(self, name: str) -> UsageError:
        if name in self.left_out:
            return UsageError(f"the run has too many jobs and parameters to find jobs by '{name}' here",
                              why=f"by {', '.join(self._columns)} it can",
                              hint=f"see: sshjobs status RUN 'ENTRY[{name}=VALUE]'")
        near = similar(name, self._columns, 1)
        return UsageError(f"no job has a parameter '{name:.60}'", hint=(
            f"did you mean {near[0]}?" if near else
            f"they are {', '.join(self._columns)[:200]}" if self._columns else "clear the field: this run has none"))


class _Column:
    """The values of one parameter: 0 where a job has none.

    While there are few different values, each has a number of its own. After that several share one.
    """

    def __init__(self) -> None:
        self._codes = bytearray()
        self._known: dict[Hashable, int] | None = {}

    @property
    def exact(self) -> bool:
        """Each value has a number of its own."""
        return self._known is not None

    def put(self, place: int, key: Hashable) -> None:
        """Note a job's value. Places ascend."""
        if self._known is not None and key not in self._known:
            if len(self._known) == MOST_VALUES:
                self._share()
            else:
                self._known[key] = len(self._known) + 1
        self._codes.extend(bytes(place - len(self._codes)))
        self._codes.append(_shared(key) if self._known is None else self._known[key])

    def _share(self) -> None:
        assert self._known is not None
        table = bytearray(256)
        for key, code in self._known.items():
            table[code] = _shared(key)
        self._codes, self._known = self._codes.translate(table), None

    def mask(self, key: Hashable, length: int) -> bytes:
        code = _shared(key) if self._known is None else self._known.get(key, 0)
        return bytes(self._codes.translate(_only(code)).ljust(length, b"\0"))


def _key(value: str) -> Hashable:
    return _short_key(value) if len(value) <= _LONG else (len(value), hash(value))


def _shared(key: Hashable) -> int:
    """Return a number from 1 to 255 that is equal for equal values."""
    return hash(key) % MOST_VALUES + 1


@lru_cache(256)
def _only(code: int) -> bytes:
    return bytes(0 < code == other for other in range(256))
