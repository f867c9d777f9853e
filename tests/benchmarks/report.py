"""``make bench``: runs every benchmark and writes ``docs/performance.md`` from their figures.

``python -m tests.benchmarks.report scale one_job`` runs those only and takes the others' figures as they were measured
last; with ``--page`` nothing is run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import QUIET, REPOSITORY, Figure

PAGE = REPOSITORY / "docs" / "performance.md"
TEXT = Path(__file__).with_name("page.md")
FIGURES = REPOSITORY / "build" / "bench"
#: Every benchmark, in the order of the page.
BENCHMARKS = ("short_jobs", "far_hosts", "one_job", "every_host", "stock_sshd", "big_output", "big_input", "big_run",
              "sweeps", "functions", "scale")


def run(benchmark: str) -> bool:
    """Run one benchmark, with what it prints on the terminal; tell whether it came to its end."""
    print(f"== {benchmark}", flush=True)
    words = [sys.executable, "-m", f"tests.benchmarks.{benchmark}", "--json", str(FIGURES / f"{benchmark}.json")]
    return subprocess.run(words, cwd=REPOSITORY, check=False).returncode == 0


def page(told: Sequence[Mapping[str, Any]], missing: Sequence[str]) -> str:
    """Return the page for the figures that benchmarks have written."""
    with_figures = [(one, [Figure(**figure) for figure in one["figures"]]) for one in told]
    return TEXT.read_text().format(
        machine=_machine(told), peers=_peers(told), targets="\n".join(_targets(with_figures)),
        warning=_warning(told), score=_score(with_figures),
        figures="\n".join(_figures(with_figures)), runs="\n".join(_runs(told, missing)))


def _machine(told: Sequence[Mapping[str, Any]]) -> str:
    about = told[-1]["about"]
    versions = about["versions"]
    return (f"{about['cores']} cores ({about['cpu']}), Linux {about['kernel'].partition('-')[0]}, "
            f"Python {versions['Python']}, {versions['OpenSSH']}")


def _peers(told: Sequence[Mapping[str, Any]]) -> str:
    versions = told[-1]["about"]["versions"]
    return ", ".join(f"{name} {version}" for name, version in versions.items() if name not in ("Python", "OpenSSH"))


def _targets(told: Sequence[tuple[Mapping[str, Any], list[Figure]]]) -> Iterator[str]:
    yield "| figure | median | spread | pass | | command |\n|---|---|---|---|---|---|"
    for one, figures in told:
        for figure in figures:
            if figure.limit is not None:
                bound = f"{'≥' if figure.at_least else '≤'} {figure.limit:g} {figure.unit}".strip()
                verdict = "met" if figure.passes else "**missed**"
                yield (f"| {figure.figure} | {_number(figure.median)} {figure.unit} | {_spread(figure)} | {bound} | "
                       f"{verdict} | `{one['module']}` |")


def _score(told: Sequence[tuple[Mapping[str, Any], list[Figure]]]) -> str:
    verdicts = [figure.passes for _, figures in told for figure in figures if figure.limit is not None]
    return f"{sum(map(bool, verdicts))} of {len(verdicts)}"


def _figures(told: Sequence[tuple[Mapping[str, Any], list[Figure]]]) -> Iterator[str]:
    yield "| figure | median | spread |\n|---|---|---|"
    for _, figures in told:
        for figure in figures:
            if figure.limit is None:
                yield f"| {figure.figure} | {_number(figure.median)} {figure.unit} | {_spread(figure)} |"


def _runs(told: Sequence[Mapping[str, Any]], missing: Sequence[str]) -> Iterator[str]:
    yield "| benchmark | rounds | when | commit | CPU taken by others |\n|---|---|---|---|---|"
    for one in told:
        about = one["about"]
        others = f"{_others(one):.0%}" if one["others"] else "not asked: CPU counts, not time"
        yield f"| `{one['module']}` | {one['rounds']} | {about['when']} | {about['commit']} | {others} |"
    for name in missing:
        yield f"| `{name}` | – | not measured | – | – |"


def _others(one: Mapping[str, Any]) -> float:
    """How much of the CPU others took before the rounds, in the median."""
    return statistics.median(one["others"]) if one["others"] else 0.0


def _warning(told: Sequence[Mapping[str, Any]]) -> str:
    noisy = [one for one in told if _others(one) > QUIET]
    if not noisy:
        return ""
    names = ", ".join(f"`{one['module']}`" for one in noisy)
    return (f"**The machine was not ours alone** during {names}: others took up to {max(map(_others, noisy)):.0%} of its CPU. "
            "Times there are too long, for peers too; and Linux shares a busy machine out by session (autogroup), so that a ratio "
            "favours whoever starts more sessions. Rows of these benchmarks say little, whether they are met or missed, but "
            "for what is counted (failures, logins, bytes, memory).\n")


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _spread(figure: Figure) -> str:
    if len(figure.values) == 1:
        return "one round"
    return f"{_number(min(figure.values))} to {_number(max(figure.values))}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.report", description=__doc__)
    parser.add_argument("benchmarks", nargs="*", choices=[[], *BENCHMARKS], metavar="BENCHMARK",
                        help=f"some of: {', '.join(BENCHMARKS)}")
    parser.add_argument("--page", action="store_true", help="write the page from figures that are there")
    options = parser.parse_args()
    FIGURES.mkdir(parents=True, exist_ok=True)
    wanted = [] if options.page else options.benchmarks or list(BENCHMARKS)
    failed = [name for name in wanted if not run(name)]
    told = [json.loads(file.read_text()) for name in BENCHMARKS if name not in failed
            if (file := FIGURES / f"{name}.json").exists()]
    if not told:
        print("there are no figures", file=sys.stderr)
        return 1
    PAGE.write_text(page(told, [name for name in BENCHMARKS if name not in [one["module"] for one in told]]))
    print(f"{PAGE} is written")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
