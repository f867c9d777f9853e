"""The SQL of the store, read from files: queries by name, the schema, and the migrations."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from sshjobs.errors import StoreError

#: Beside this file, read as files: importlib.resources takes longer to load than all of them.
_HERE = Path(__file__).parent
_NAME_LINE = re.compile(r"^-- name: *(\w+)\n(-- .+\n)+", re.MULTILINE)
_STEP_NAME = re.compile(r"(\d{4})_\w+\.sql")


@cache
def queries() -> dict[str, str]:
    """Return the text of each query in ``queries.sql`` by its name."""
    return parse(_read("queries.sql"))


def parse(text: str) -> dict[str, str]:
    """Split a file of named queries.

    :raises StoreError: a name is there twice or a query has no description
    """
    found: dict[str, str] = {}
    matches = list(_NAME_LINE.finditer(text))
    if len(matches) != text.count("-- name:"):
        raise StoreError("a query has a name line without a description below it", where="queries.sql")
    for match, following in zip(matches, [*matches[1:], None], strict=True):
        if match[1] in found:
            raise StoreError(f"the query {match[1]} is there twice", where="queries.sql")
        found[match[1]] = text[match.end() : following.start() if following else None].strip().rstrip(";")
    return found


def schema() -> str:
    """Return the statements that make an empty store of the newest version."""
    return _read("schema.sql")


@cache
def migrations() -> dict[int, str]:
    """Return the migrations: each leads from the version before its number to its number.

    :raises StoreError: two have the same number, so that one of them would never run
    """
    found = {}
    for entry in (_HERE / "migrations").iterdir():
        match = _STEP_NAME.fullmatch(entry.name)
        if match:
            if int(match[1]) in found:
                raise StoreError(f"two steps lead to version {int(match[1])}", where="migrations")
            found[int(match[1])] = entry.read_text("utf-8")
    return dict(sorted(found.items()))


def newest_version() -> int:
    """Return the version of ``schema.sql``: 1, and one more for each migration."""
    return max(migrations(), default=1)


def _read(name: str) -> str:
    return (_HERE / name).read_text("utf-8")
