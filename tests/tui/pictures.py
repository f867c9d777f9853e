"""Takes pictures of the live view, of ``top`` and of the report, of a run over ssh: ``python -m tests.tui.pictures DIRECTORY``."""

from __future__ import annotations

import shlex
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from rich.ansi import AnsiDecoder
from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI, TerminalTheme

from tests.cli.tmux import Tmux
from tests.conftest import sshjobs_argv
from tests.lab import open_lab
from tests.web.serving import browser

#: Columns and rows.
SIZES = ((80, 24), (200, 50), (40, 24))
SCREENS = {"desktop": (1280, 900), "phone": (390, 844)}
VIEWS = {"jobs": "1", "hosts": "2", "failures": "3", "parameters": "4"}
#: What stands in the first row of each.
FIRST = {"jobs": "fit-1", "hosts": "node01", "failures": "exit 1", "parameters": "0.001"}
#: The colours of xterm on white.
LIGHT = TerminalTheme((255, 255, 255), (0, 0, 0), [
    (0, 0, 0), (205, 0, 0), (0, 163, 0), (153, 120, 0), (0, 0, 238), (165, 0, 165), (0, 139, 139), (105, 105, 105)])
THEMES = {"dark": DIMMED_MONOKAI, "light": LIGHT}
PAGE = """<!doctype html><meta charset="utf-8"><style>body {{ margin: 0; color: {foreground}; background: {background} }}
pre {{ margin: 0; padding: 8px; display: inline-block; font: 14px/1.25 "DejaVu Sans Mono", monospace }}</style>{code}"""
JOBFILE = """
jobs:
  - name: fit
    matrix: {lr: [0.1, 0.01, 0.001], seed: 1..40}
    commands:
      - 'echo "epoch 1 of 3, seed $SSHJOBS_PARAM_seed"; sleep $((SSHJOBS_PARAM_seed % 4)).5'
      - 'test $((SSHJOBS_PARAM_seed % 13)) != 0 || { echo "RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB" >&2; exit 1; }'
      - 'test $((SSHJOBS_PARAM_seed)) -lt 30 || sleep 600'
  - {name: "a-job-with-a-name-that-is-much-longer-than-any-column-of-a-small-terminal-is-wide", commands: ["sleep 600"]}
"""


def draw(page: Any, screen: str, columns: int, theme: TerminalTheme, where: Path) -> None:
    """Save what stands on a screen as a picture."""
    with open("/dev/null", "w") as nothing:
        console = Console(record=True, width=columns, file=nothing, force_terminal=True, color_system="truecolor")
        # A colour goes on in the next line until another is named.
        for line in AnsiDecoder().decode(screen):
            console.print(line, soft_wrap=True, highlight=False)
        code = console.export_html(theme=theme, inline_styles=True, code_format="<pre>{code}</pre>")
    page.set_content(PAGE.format(code=code, foreground=theme.foreground_color.hex, background=theme.background_color.hex))
    page.locator("pre").screenshot(path=str(where))


def draw_report(chromium: Any, report: Path, where: Path) -> None:
    """Save how a report looks on each screen in each scheme."""
    for screen, (width, height) in SCREENS.items():
        for scheme in THEMES:
            page = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=scheme).new_page()
            page.goto(report.as_uri())
            page.wait_for_selector("html[data-ready]")
            page.screenshot(path=str(where / f"report-{screen}-{scheme}.png"), full_page=True)
            page.context.close()


def shows(text: str, screen: str) -> bool:
    """Tell whether a text is on a screen."""
    return text in screen


def main() -> None:
    where = Path(sys.argv[1])
    where.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work, open_lab(6) as lab, browser() as chromium, \
            Tmux(Path(work), columns=80, rows=24, env={"HOME": work}) as terminal:
        blank = chromium.new_page()

        def save(columns: int, name: str) -> None:
            screen = terminal.colours()
            for scheme, theme in THEMES.items():
                draw(blank, screen, columns, theme, where / f"{name}-{scheme}.png")

        (Path(work) / "sweep.yaml").write_text(JOBFILE)
        (Path(work) / "hosts.txt").write_text("".join(f"{host.name} slots=4\n" for host in lab.hosts))
        terminal.type(shlex.join(sshjobs_argv(["run", "sweep.yaml", "--hosts", "hosts.txt", "--ssh-config", str(lab.ssh_config)])))
        terminal.wait_for(lambda screen: "CUDA out of memory" in screen and "p90" in screen)
        for columns, rows in SIZES:
            terminal.resize(columns, rows)
            terminal.wait_for(partial(shows, "━" * (columns - 2)))
            save(columns, f"live-{columns}x{rows}")
        terminal.press("q")
        terminal.wait_for(lambda screen: screen.rstrip().endswith("$"))
        for columns, rows in SIZES[:2]:
            terminal.resize(columns, rows)
            terminal.type("clear; " + shlex.join(sshjobs_argv(["top"])))
            terminal.wait_for(lambda screen: "fit-" in screen and "busy" in screen)
            for view, key in VIEWS.items():
                terminal.press(key)
                terminal.wait_for(partial(shows, f"\n{view}  1 of"))
                # A list that was just asked for is empty for a moment.
                terminal.wait_for(partial(shows, FIRST[view]))
                save(columns, f"top-{view}-{columns}x{rows}")
            terminal.press("3")
            terminal.wait_for(partial(shows, "\nfailures  1 of"))
            terminal.press("Enter")
            terminal.wait_for(lambda screen: "stderr of" in screen)
            save(columns, f"top-logs-{columns}x{rows}")
            terminal.press("q")
            terminal.wait_for(lambda screen: screen.rstrip().endswith("$"))
        terminal.type("clear; " + shlex.join(sshjobs_argv(["cancel", "--all"])))
        terminal.wait_for(lambda screen: "cancel" in screen and screen.rstrip().endswith("$"))
        terminal.type("clear; " + shlex.join(sshjobs_argv(["report", "-o", "report.html"])))
        terminal.wait_for(lambda screen: "the report of" in screen)
        draw_report(chromium, Path(work) / "report.html", where)


if __name__ == "__main__":
    main()
