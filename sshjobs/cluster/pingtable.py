"""The table of PingWorkers: the columns of glimpse-cluster."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from sshjobs.pools.facts import WorkerFacts

_HEAD = ("HOST", "PID", "NREQS", "ETIME", "MEAN_ETIME", "UPTIME")


def ping_rows(found: Iterable[WorkerFacts], now: float | None = None) -> list[dict[str, Any]]:
    """Return a row of plain data for each worker: host, pid, requests, elapsed, mean and uptime, times in seconds."""
    now = time.time() if now is None else now
    return [{"host": one.host, "pid": one.pid, "requests": one.requests, "elapsed": round(one.elapsed, 6),
             "mean": round(one.mean, 6), "uptime": round(max(0.0, now - one.started), 3), "name": one.name,
             "python": one.python} for one in found]


def ping_table(found: Iterable[WorkerFacts], now: float | None = None) -> str:
    """Return the lines of the table."""
    lines = [_line(_HEAD)]
    for row in ping_rows(found, now):
        lines.append(_line((row["host"], str(row["pid"]), str(row["requests"]), f"{row['elapsed']:.3f}",
                            f"{row['mean']:.6f}", _span(row["uptime"]))))
    return "\n".join(lines)


def _line(cells: tuple[str, ...]) -> str:
    host, pid, requests, elapsed, mean, uptime = cells
    return f"{host:<30} {pid:>7} {requests:>7} {elapsed:>10} {mean:>11} {uptime:>12}".rstrip()


def _span(seconds: float) -> str:
    """Return a length of time as ``[D-]HH:MM:SS``."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return (f"{days}-" if days else "") + f"{hour:02}:{minute:02}:{second:02}"
