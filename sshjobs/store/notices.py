"""Notices of a run, to rows and back."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from sshjobs.errors import UsageError
from sshjobs.model.telling import EVENTS, Notice, Recipient
from sshjobs.store.damage import Damage, check_row
from sshjobs.store.queries import queries
from sshjobs.store.rows import clean_text, read_object


def write_notices(connection: sqlite3.Connection, notices: Iterable[Notice]) -> None:
    """Write notices in their present state."""
    connection.executemany(queries()["write_notice"], (
        (one.id, one.event, json.dumps(one.recipient.as_dict()), json.dumps(dict(one.about)), one.made, one.tries,
         one.delivered, clean_text(one.error)) for one in notices))


def read_notice(row: Sequence[Any]) -> Notice:
    """Return the notice of a row of the query ``select_notices``."""
    check_row(row, "ssssfiFS")
    id_, event, recipient, about, made, tries, delivered, error = row
    if event not in EVENTS:
        raise Damage(f"nothing that is told is {repr(event)[:40]}")
    try:
        who = Recipient.from_dict(read_object(recipient))
    except UsageError as trouble:
        raise Damage(trouble.what) from None
    return Notice(id_, event, who, read_object(about), made, tries, delivered, error)
