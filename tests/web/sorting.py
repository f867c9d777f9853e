"""Whether the tables of the pages are sorted as they say."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import httpx

from sshjobs.model.states import STATES
from tests.lab.waiting import wait_until

Rows = dict[str, dict[str, Any]]


def _runs(client: httpx.Client, run: str) -> Rows:
    return {one["name"]: {**one, **one["counts"], "progress": (one["counts"]["done"] + one["counts"]["error"]) / one["total"]}
            for one in client.get("/api/runs").json()["runs"]}


def _hosts(path: str) -> Callable[[httpx.Client, str], Rows]:
    return lambda client, run: {one["name"]: {**one, "runs": " ".join(one["runs"] or []), "seconds": one["seconds_per_job"], "memory": one["memory_free"]}
                                for one in client.get(path.format(run=run)).json()["hosts"]}


def _jobs(client: httpx.Client, run: str) -> Rows:
    return {one["name"]: {**one, "state": STATES.index(one["state"])} for one in client.get(f"/api/runs/{run}/jobs?limit=500").json()["jobs"]}


def _results(client: httpx.Client, run: str) -> Rows:
    table = client.get(f"/api/runs/{run}/table?limit=500").json()
    return {row[0]: dict(zip(table["columns"], row, strict=True)) for row in table["rows"]}


class Table(NamedTuple):
    """A table that sorts: the address of its page, its name there, the cell that names a row, what the API says of its rows, and how many
    columns it has at least."""

    where: str
    name: str
    cell: int
    rows: Callable[[httpx.Client, str], Rows]
    columns: int

    def is_sorted(self, page: Any, client: httpx.Client, run: str, key: str, descending: bool) -> bool:
        """Return whether all rows are there, in the order of a column."""
        names = page.locator(f"#{self.name} tbody tr td:nth-child({self.cell})").all_inner_texts()
        rows = self.rows(client, run)
        return set(names) == set(rows) and in_order([rows[name][key] for name in names], descending)


TABLES = (
    Table("?", "runs", 1, _runs, 9), Table("?run={run}", "hosts", 1, _hosts("/api/runs/{run}/overview"), 17),
    Table("?view=together", "hosts", 1, _hosts("/api/together"), 18), Table("?run={run}&view=manage", "manage", 1, _hosts("/api/runs/{run}/overview"), 4),
    Table("?run={run}&view=jobs", "jobs", 2, _jobs, 4), Table("?run={run}&view=results", "results", 1, _results, 7))


def order_of(value: Any) -> tuple[Any, ...]:
    """Return by what values are compared: numbers, also those written as text, before text, in which numbers are compared as such."""
    try:
        return 0, float(value)
    except ValueError:
        return 1, [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", str(value))]


def in_order(values: list[Any], descending: bool) -> bool:
    """Return whether values are in order, and those that are not known are at one end."""
    known = [order_of(value) for value in values if value is not None]
    kept = [value is not None for value in values]
    return known == sorted(known, reverse=descending) and kept in (sorted(kept), sorted(kept, reverse=True))


def every_table_sorts(page: Any, client: httpx.Client, address: str, run: str) -> None:
    """Sort each table by every column, both ways, and compare with what the API says of its rows."""
    for table in TABLES:
        page.goto(f"{address}/{table.where.format(run=run)}")
        page.wait_for_selector(f"#{table.name} tbody tr")
        heads = page.locator(f"#{table.name} th button")
        assert heads.count() >= table.columns, (table.where, heads.all_inner_texts())
        for n in range(heads.count()):
            ways = set()
            for _ in range(2):
                before = page.url
                heads.nth(n).click()
                page.wait_for_function("before => location.href !== before", arg=before)
                key, way = (re.search(f"[?&]{word}=([^&]+)", page.url)[1] for word in ("sort", "order"))  # type: ignore[index]
                ways.add(way)
                # What hosts say of themselves may come between the two looks: then they are looked at once more.
                wait_until(partial(table.is_sorted, page, client, run, key, way == "desc"), 30, f"{table.where} by {key}, {way}")
            assert ways == {"asc", "desc"}, (table.where, n)
