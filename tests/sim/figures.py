"""The simulator's part of ``docs/reliability.md``, from ``record.jsonl`` and ``found.md`` beside this file."""

from __future__ import annotations

import json
from pathlib import Path

HERE = Path(__file__).parent
#: The figures of every full campaign, in the order in which they ended; none is ever taken out.
RECORD = HERE / "record.jsonl"


def section() -> str:
    """Return the section, with its heading."""
    lines = [(HERE / "found.md").read_text(), "| disasters | plays | starts | promises broken | seed | commit |",
             "|---|---|---|---|---|---|"]
    for row in map(json.loads, RECORD.read_text().splitlines()):
        lines.append(f"| {row['disasters']:,} | {row['plays']:,} | {row['starts']:,} | {row['broken']} | {row['seed']} | "
                     f"{row['commit']}, {row['day']} |")
    return "\n".join(lines) + "\n"
