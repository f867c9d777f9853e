"""The store of a run: ``run.db``, a SQLite file with one writer and any number of readers (docs/store.md)."""

from __future__ import annotations

from sshjobs.store.database import StoreBlockedError, StoreLockedError
from sshjobs.store.document import iter_status_json, status, summary_document
from sshjobs.store.identity import ManagerIdentity
from sshjobs.store.reader import RunReader
from sshjobs.store.rows import AttemptRow, HostRow, JobRow
from sshjobs.store.summary import Summary, shown_state
from sshjobs.store.writer import RUN_STATES, RunStore

__all__ = [
    "RUN_STATES", "AttemptRow", "HostRow", "JobRow", "ManagerIdentity", "RunReader", "RunStore",
    "StoreBlockedError", "StoreLockedError", "Summary", "iter_status_json", "shown_state", "status", "summary_document",
]
