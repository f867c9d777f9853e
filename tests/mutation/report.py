"""What came of a run over mutants, in words, and for ``docs/reliability.md``."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.mutation.record import Record

HERE = Path(__file__).parent
#: The figures of every run that is told of on the page, one for each draw.
FIGURES = HERE / "record.jsonl"
#: Why a fault that no test notices stays: its file, its operator, the text of its line, and the reason, with tabs between them.
REASONS = HERE / "survivors.txt"
NO_REASON = "no test notices"


def reasons() -> dict[tuple[str, str, str], str]:
    """Return the reasons that are written down, by file, operator and the text of the line."""
    lines = [line.split("\t") for line in REASONS.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    return {(path, operator, text): why for path, operator, text, why in lines}


def figures(record: Record) -> dict[str, Any]:
    """Return how many mutants were tried and noticed, and which were not, with the reasons."""
    fates = record.fates()
    tried = [mutant for mutant in record.mutants if mutant.name in fates]
    counts = Counter(fates[mutant.name]["fate"] for mutant in tried)
    known = reasons()
    survivors = []
    for mutant in tried:
        if fates[mutant.name]["fate"] == "survived":
            text = record.line(mutant)
            survivors.append([mutant.path, mutant.line, mutant.operator, text,
                              known.get((mutant.path, mutant.operator, text), NO_REASON)])
    return {"commit": record.commit[:7], "drawn": len(record.mutants), "tried": len(tried), "killed": counts["killed"],
            "limit": counts["limit"], "gone": counts["gone"], "survivors": sorted(survivors)}


def told(record: Record) -> str:
    """Return in words how many were noticed, and which were not."""
    found = figures(record)
    lines = [f"{found['tried']} of {found['drawn']} mutants tried, drawn on {found['commit']}: {found['killed']} killed by a test, "
             f"{found['limit']} by a limit, in code that is gone {found['gone']}, survived {len(found['survivors'])}"]
    lines += [f"{path}:{line} {operator}: {text}  [{why}]" for path, line, operator, text, why in found["survivors"]]
    return "\n".join(lines)


def written(record: Record, seed: int) -> None:
    """Put the figures to those that the page is made from; of one draw, how it stands now is told."""
    row = {**figures(record), "seed": seed, "day": time.strftime("%Y-%m-%d")}
    others = [other for other in _rows() if (other["commit"], other["seed"]) != (row["commit"], seed)]
    FIGURES.write_text("".join(json.dumps(one) + "\n" for one in [*others, row]), encoding="utf-8")


def _rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in FIGURES.read_text(encoding="utf-8").splitlines()] if FIGURES.exists() else []


def section() -> str:
    """Return the part of ``docs/reliability.md`` about mutants, with its heading, the figures of all runs and the newest survivors."""
    rows = _rows()
    lines = [(HERE / "found.md").read_text(encoding="utf-8"),
             "| drawn on | tried | killed by a test | by a limit | gone | survived | noticed | seed |\n|---|---|---|---|---|---|---|---|"]
    for row in rows:
        here = row["tried"] - row["gone"]
        lines.append(f"| {row['commit']}, {row['day']} | {row['tried']} of {row['drawn']} | {row['killed']} | {row['limit']} | {row['gone']} | "
                     f"{len(row['survivors'])} | {(row['killed'] + row['limit']) / here:.1%} of {here} | {row['seed']} |")
    by_reason: dict[str, list[str]] = {}
    for path, line, operator, text, why in (rows[-1]["survivors"] if rows else ()):
        by_reason.setdefault(why, []).append(f"  - `{path}:{line}` {operator}: {_code(text)}")
    lines += ["", "Those that survived the newest run, with the lines of its commit:", ""]
    for why in sorted(by_reason, key=lambda why: (why == NO_REASON, why)):
        lines += [f"- {why}:", *by_reason[why]]
    return "\n".join(lines) + "\n"


def _code(text: str) -> str:
    """Return a line of code as Markdown shows it."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"
