"""A sweep: the combinations of parameters for which an entry is run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, product
from math import prod
from typing import Any

from sshjobs.errors import InputError, Problem
from sshjobs.inputs.scalars import describe
from sshjobs.inputs.sweeplists import Rows, lines_of, paths_of, range_of, rows_of, scalar_text, tables_of
from sshjobs.model.params import NAME, value_key
from sshjobs.model.similar import similar

#: The keys of ``matrix`` that are no parameters.
ZIP, EXCLUDE, INCLUDE = "zip", "exclude", "include"
_WRITE_LIST = "write [a, b], 1..100, {glob: 'data/*.csv'} or {lines: list.txt}"

#: The values of one combination, in the order of the names of the parameters; ``None`` for one that it does not have.
Values = tuple[str | None, ...]
Path = Sequence[int | str]


class Mistakes:
    """The mistakes in an entry.

    :ivar told: path in the entry, whether the key itself is meant, and message
    :ivar problems: mistakes in other files
    :ivar names: of the parameters that the entry has, whatever is wrong with their values; ``None``: nobody knows
    """

    def __init__(self) -> None:
        self.told: list[tuple[Path, bool, str]] = []
        self.problems: list[Problem] = []
        self.names: list[str] | None = None

    def __bool__(self) -> bool:
        return bool(self.told or self.problems)

    def say(self, path: Path, message: str, *, of_key: bool = False) -> None:
        """Note a mistake."""
        if (path, of_key, message) not in self.told[-100:]:
            self.told.append((path, of_key, message))


@dataclass(frozen=True)
class Axis:
    """Parameters that change together, and their values."""

    names: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


class Sweep:
    """The combinations of some axes, without excluded ones, and with included values.

    Nothing is expanded before it is needed.

    :param axes: the last of them changes fastest
    :param excluded: each has values of some parameters; a combination with all of these values is left out
    :param included: each is added to every combination in which it changes no value of an axis; one that cannot be
        added to any is a combination of its own
    :ivar names: of the parameters, in their order
    """

    def __init__(self, axes: Sequence[Axis], excluded: Sequence[Mapping[str, str]] = (),
                 included: Sequence[Mapping[str, str]] = ()):
        self._axes, self._included = axes, included
        own = [name for axis in axes for name in axis.names]
        self.names = tuple(dict.fromkeys(chain(own, *included)))
        self._places = {name: n for n, name in enumerate(self.names)}
        #: By places of parameters: the excluded values there; the included ones, by number.
        self._excluded = defaultdict[tuple[int, ...], set[tuple[Hashable, ...]]](set)
        self._adds = defaultdict[tuple[int, ...], dict[tuple[Hashable, ...], list[int]]](dict)
        for one in excluded:
            self._excluded[self._where(one, own)].add(self._keys(one, own))
        for n, one in enumerate(included):
            self._adds[self._where(one, own)].setdefault(self._keys(one, own), []).append(n)
        self._numbers: dict[str, Hashable] = {}
        self._count: int | None = None

    def _where(self, one: Mapping[str, str], own: Sequence[str]) -> tuple[int, ...]:
        return tuple(self._places[name] for name in one if name in own)

    @staticmethod
    def _keys(one: Mapping[str, str], own: Sequence[str]) -> tuple[Hashable, ...]:
        return tuple(value_key(value) for name, value in one.items() if name in own)

    def count(self) -> int:
        """Return how many combinations there are."""
        if self._count is None:
            plain = not self._excluded and not self._adds
            self._count = prod(len(axis.rows) for axis in self._axes) if plain else sum(1 for _ in self.combinations())
        return self._count

    def combinations(self) -> Iterator[Values]:
        """Yield the values of each combination, those of axes in order, then included ones."""
        missing = (None,) * (len(self.names) - sum(len(axis.names) for axis in self._axes))
        used = set[int]()
        for parts in product(*(axis.rows for axis in self._axes)) if self._axes else ():
            values: tuple[str, ...] = tuple(chain.from_iterable(parts))
            if self._excluded and self._is_excluded(values):
                continue
            yield self._completed(values, missing, used) if self._adds else values
        for n, one in enumerate(self._included):
            if n not in used:
                yield tuple(one.get(name) for name in self.names)

    def _is_excluded(self, values: Sequence[str]) -> bool:
        return any(self._probe(values, places) in excluded for places, excluded in self._excluded.items())

    def _completed(self, values: tuple[str, ...], missing: tuple[None, ...], used: set[int]) -> Values:
        added = [n for places, groups in self._adds.items() for n in groups.get(self._probe(values, places), ())]
        if not added:
            return values + missing
        whole: list[str | None] = [*values, *missing]
        for n in sorted(added):
            for name, value in self._included[n].items():
                if self._places[name] >= len(values):
                    whole[self._places[name]] = value
        used.update(added)
        return tuple(whole)

    def _probe(self, values: Sequence[str], places: tuple[int, ...]) -> tuple[Hashable, ...]:
        # The key of each text is looked up, because each stands in many combinations.
        numbers = self._numbers
        for place in places:
            if values[place] not in numbers:
                numbers[values[place]] = value_key(values[place])
        return tuple([numbers[values[place]] for place in places])


def read_sweep(matrix: Any, rows: Any, base_dir: str, most: int, mistakes: Mistakes) -> Sweep | None:
    """Return what the keys ``matrix`` and ``rows`` of an entry mean, ``None`` after mistakes.

    :param matrix: a mapping that is not empty; one from a jobfile knows how its numbers were written
    :param rows: the path of a table; or mappings, one a row
    :param base_dir: what relative paths are relative to
    :param most: how many combinations are allowed
    """
    return _Reader(base_dir, most, mistakes).read(matrix, rows)


class _Reader:
    def __init__(self, base_dir: str, most: int, mistakes: Mistakes):
        self.base_dir, self.most, self.mistakes = base_dir, most, mistakes

    def read(self, matrix: Any, rows: Any) -> Sweep | None:
        before = len(self.mistakes.told) + len(self.mistakes.problems)
        axes = []
        table = None if rows is None else self._rows(rows)
        if table is not None:
            axes.append(Axis(table.names, table.rows))
        if table is not None or rows is None:
            self.mistakes.names = list(dict.fromkeys([*(table.names if table else ()), *_names_of(matrix or {})]))
        excluded: list[dict[str, str]] = []
        included: list[dict[str, str]] = []
        if matrix is not None:
            axes += self._zipped(matrix, self._lists(matrix, axes))
            names = [name for axis in axes for name in axis.names]
            excluded = self._mappings(matrix, EXCLUDE, names)
            included = self._mappings(matrix, INCLUDE, None)
        if len(self.mistakes.told) + len(self.mistakes.problems) > before:
            return None
        if self._too_many(["matrix" if matrix is not None else "rows"], prod(len(axis.rows) for axis in axes)):
            return None
        self._check_fit(axes, excluded)
        sweep = Sweep(axes, excluded, included)
        if not sweep.count():
            self._say(["matrix", EXCLUDE], "matrix.exclude leaves no combination; take fewer out")
        return None if len(self.mistakes.told) > before else sweep

    def _say(self, path: Path, message: str, *, of_key: bool = False) -> None:
        self.mistakes.say(path, message, of_key=of_key)

    def _too_many(self, path: Path, number: int) -> bool:
        if number > self.most:
            self._say(path, f"this would make {number:,} jobs, the limit is {self.most:,}; take fewer values, or use "
                            "more runs")
        return number > self.most

    def _try(self, path: Path, what: Callable[[], Any]) -> Any:
        """Return the result of a function; after an error, record that and return ``None``."""
        try:
            return what()
        except InputError as error:
            for problem in error.problems:
                if problem.line:
                    self.mistakes.problems.append(problem)
                else:  # the file as a whole: perhaps its name is the mistake
                    told = f"{'.'.join(map(str, path))}: '{problem.file}' {problem.message}"
                    self._say(path, told if ";" in told else f"{told}; correct the path, or make the file first")
        except ValueError as error:
            self._say(path, f"{'.'.join(map(str, path))}: {error}")
        return None

    def _rows(self, rows: Any) -> Rows | None:
        if isinstance(rows, str):
            return self._try(["rows"], lambda: rows_of(rows, self.base_dir))  # type: ignore[no-any-return]
        if isinstance(rows, Sequence):
            return self._try(["rows"], lambda: tables_of(rows))  # type: ignore[no-any-return]
        self._say(["rows"], f"rows must be the path of a table, got {describe(rows, None)}; write rows: params.csv")
        return None

    def _lists(self, matrix: Mapping[str, Any], axes: Sequence[Axis]) -> dict[str, Sequence[str]]:
        lists: dict[str, Sequence[str]] = {}
        taken = {name for axis in axes for name in axis.names}
        for name in matrix:
            if name in (ZIP, EXCLUDE, INCLUDE):
                continue
            if not isinstance(name, str) or not NAME.fullmatch(name):
                self._say(["matrix", name], f"matrix: {_no_name(name)}", of_key=True)
            elif name in taken:
                self._say(["matrix", name], f"matrix: '{name}' is a column of rows already; rename one", of_key=True)
            if (found := self._list(matrix, name)) is not None:
                lists[name] = found
        return lists

    def _list(self, matrix: Mapping[str, Any], name: str) -> Sequence[str] | None:
        """Return the values of one parameter."""
        given, path = matrix[name], ["matrix", name]
        source = (getattr(matrix, "sources", None) or {}).get(name)
        if isinstance(given, str):
            found: Sequence[str] | None = self._try(path, lambda: range_of(given))
            if found is None and not any(place == path for place, _, _ in self.mistakes.told):
                self._say(path, f"matrix.{name} must be a list, got {describe(given, source)}; {_WRITE_LIST}")
            return found
        if isinstance(given, Mapping):
            return self._files(given, path)
        if not isinstance(given, Sequence) and type(given) is not range:
            self._say(path, f"matrix.{name} must be a list, got {describe(given, source)}; {_WRITE_LIST}")
            return None
        if not given:
            self._say(path, f"matrix.{name} is empty; give it one value at least")
        if self._too_many(path, len(given)):
            return None
        values = [self._text(given, n, [*path, n], f"matrix.{name}, item {n + 1},") for n in range(len(given))]
        return [value for value in values if value is not None]

    def _files(self, given: Mapping[str, Any], path: Path) -> Sequence[str] | None:
        name = ".".join(map(str, path))
        if len(given) != 1 or next(iter(given)) not in ("glob", "lines") or not all(
                isinstance(value, str) for value in given.values()):
            self._say(path, f"{name} must be a list, got a mapping; {_WRITE_LIST}")
            return None
        [(kind, text)] = given.items()
        read = paths_of if kind == "glob" else lines_of
        return self._try([*path, kind], lambda: read(text, self.base_dir))  # type: ignore[no-any-return]

    def _text(self, holder: Any, key: Any, path: Path, name: str) -> str | None:
        """Return a value as it was written, ``None`` if it is no text."""
        value = holder[key]
        source = (getattr(holder, "sources", None) or {}).get(key)
        if value is not None and not isinstance(value, (list, tuple, dict)) and source is not None:
            return str(source)
        if (text := scalar_text(value)) is None:
            hint = "write '' for empty text" if value is None else "write one text or number"
            self._say(path, f"{name} must be text or a number, got {describe(value, source)}; {hint}")
        elif "\0" in text:
            self._say(path, f"{name} cannot hold a NUL byte; take it out")
        return text

    def _zipped(self, matrix: Mapping[str, Any], lists: Mapping[str, Sequence[str]]) -> list[Axis]:
        """Return the axes of the matrix: a group of zipped parameters stands where its first one does."""
        groups = self._groups(matrix, lists)
        first = {group[0]: group for group in groups}
        others = {name for group in groups for name in group[1:]}
        axes = []
        for name, values in lists.items():
            if name in first:
                axes.append(Axis(tuple(first[name]), _Together([lists[one] for one in first[name]])))
            elif name not in others:
                axes.append(Axis((name,), _Together([values])))
        return axes

    def _groups(self, matrix: Mapping[str, Any], lists: Mapping[str, Sequence[str]]) -> list[list[str]]:
        """Return the groups of names in ``zip`` that are right, each in the order of the matrix."""
        given = matrix.get(ZIP, [])
        if not isinstance(given, Sequence) or isinstance(given, str) or not all(map(_are_names, given)):
            got = describe(given, None)
            self._say(["matrix", ZIP], f"matrix.zip must be a list of parameters, got {got}; write [a, b]")
            return []
        groups: list[Any] = [given] if given and isinstance(given[0], str) else list(given)
        found, taken = [], set[str]()
        for n, group in enumerate(groups):
            path: Path = ["matrix", ZIP] if group is given else ["matrix", ZIP, n]
            if isinstance(group, str) or not all(self._known(name, lists, path, "matrix.zip") for name in group):
                continue
            lengths = {name: len(lists[name]) for name in group}
            if len(lengths) < len(group) or not taken.isdisjoint(group) or len(group) < 2:
                self._say(path, "matrix.zip takes two parameters or more, each once; write [a, b]")
            elif len(set(lengths.values())) > 1:
                told = ", ".join(f"{name} {number:,}" for name, number in lengths.items())
                self._say(path, f"matrix.zip takes lists of one length, got {told} values; complete the shorter one")
            else:
                found.append([name for name in lists if name in lengths])
            taken.update(group)
        return found

    def _known(self, name: str, names: Any, path: Path, what: str, *, of_key: bool = False) -> bool:
        if name in names:
            return True
        hint = misspelt(name, names) if names else "give it values beside that, as lr: [0.1, 1]"
        self._say(path, f"{what}: there is no parameter '{name[:60]}'; {hint}", of_key=of_key)
        return False

    def _mappings(self, matrix: Mapping[str, Any], key: str, names: Sequence[str] | None) -> list[dict[str, str]]:
        """Return the mappings of ``exclude`` or ``include``.

        :param names: of the parameters that there are; ``None``: it may bring further ones
        """
        given = matrix.get(key, [])
        if not isinstance(given, Sequence) or isinstance(given, str):
            self._say(["matrix", key], f"matrix.{key} must be a list of mappings, got {describe(given, None)}; "
                                       "write [{lr: 0.1}]")
            return []
        found = []
        for n, one in enumerate(given):
            path: list[int | str] = ["matrix", key, n]
            name = f"matrix.{key}, item {n + 1},"
            if not isinstance(one, Mapping) or not one:
                self._say(path, f"{name} must be a mapping of parameters to values; write {{lr: 0.1}}")
                found.append(dict[str, str]())
                continue
            texts: dict[str, str] = {}
            for parameter in one:
                if names is not None:
                    right = self._known(parameter, names, [*path, parameter], f"matrix.{key}", of_key=True)
                elif not (right := isinstance(parameter, str) and bool(NAME.fullmatch(parameter))):
                    self._say([*path, parameter], f"matrix.{key}: {_no_name(parameter)}", of_key=True)
                text = self._text(one, parameter, [*path, parameter], f"{name[:-1]}.{str(parameter)[:60]}")
                if right and text is not None:
                    texts[parameter] = text
            found.append(texts)
        return found

    def _check_fit(self, axes: Sequence[Axis], excluded: Sequence[Mapping[str, str]]) -> None:
        """Tell of what is excluded and is no combination anyway. Nothing is expanded for that: axes are independent."""
        known: dict[tuple[int, tuple[str, ...]], set[tuple[Hashable, ...]]] = {}
        for n, one in enumerate(excluded):
            for place, axis in enumerate(axes):
                names = tuple(name for name in axis.names if name in one)
                if (place, names) not in known:
                    columns = [axis.names.index(name) for name in names]
                    known[place, names] = {tuple(value_key(row[at]) for at in columns) for row in axis.rows}
                if tuple(value_key(one[name]) for name in names) not in known[place, names]:
                    shown = ", ".join(f"{name}: {one[name]}" for name in names)
                    self._say(["matrix", EXCLUDE, n], f"matrix.exclude, item {n + 1}, fits no combination: there is no "
                                                      f"{shown[:80]}; correct it, or take it out")
                    break


class _Together(Sequence[tuple[str, ...]]):
    """Lists of one length, walked in step."""

    def __init__(self, lists: Sequence[Sequence[str]]):
        self._lists = lists

    def __len__(self) -> int:
        return len(self._lists[0])

    def __getitem__(self, index: Any) -> Any:
        return tuple([values[index] for values in self._lists])


def _names_of(matrix: Mapping[str, Any]) -> list[str]:
    """Return what parameters of a matrix are called, right or wrong."""
    included = matrix.get(INCLUDE)
    added = included if isinstance(included, Sequence) and not isinstance(included, str) else ()
    return [str(name) for one in (matrix, *(item for item in added if isinstance(item, Mapping))) for name in one
            if one is not matrix or name not in (ZIP, EXCLUDE, INCLUDE)]


def _no_name(name: object) -> str:
    return (f"a parameter cannot be called '{str(name)[:60]}'; use letters, digits and _, and begin with no digit")


def _are_names(group: Any) -> bool:
    return isinstance(group, str) or (
        isinstance(group, Sequence) and len(group) > 0 and all(isinstance(name, str) for name in group))


def misspelt(name: str, names: Any) -> str:
    """Return what to do about the name of a parameter that there is not."""
    near = similar(name, list(names), 1, 0.5)
    if near:
        return f"did you mean {near[0]}?"
    return f"there are {', '.join(names)[:200]}" if names else "the entry has no matrix; write $${{ for the text ${{"
