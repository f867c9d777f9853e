"""Takes the pictures of docs/web.md from a real run over ssh: ``python -m tests.web.pictures``."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from sshjobs import JobSpec, Run
from tests.lab import open_lab
from tests.lab.waiting import wait_until
from tests.web.serving import browser, serving

WHERE = Path(__file__).parents[2] / "docs" / "pictures"
PAGES = {"runs": "", "cluster": "?run=sweep-7", "jobs": "?run=sweep-7&view=jobs&params=lr%3D0.3", "timeline": "?run=sweep-7&view=timeline",
         "results": "?run=sweep-7&view=results&where=loss<0.5&sort=loss", "job": "?run=sweep-7&view=job&job=fit-9", "host": "?run=sweep-7&view=host&host=node02",
         "failure": "?run=sweep-7&view=job&job=fit-13&stream=stderr", "manage": "?run=sweep-7&view=manage", "together": "?view=together"}
#: Width, height, and the scheme of colours.
SCREENS = {"light": (1280, 760, "light"), "dark": (1280, 760, "dark"), "phone": (390, 760, "light")}
CHART = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 300 120" width="300" height="120"><rect width="300" height="120" fill="#fff"/>
<path d="M10 20 L80 60 L150 85 L220 95 L290 100" fill="none" stroke="#0b5c8e" stroke-width="3"/><text x="10" y="112" font-size="11">loss by step</text></svg>"""
SCRIPT = [
    'echo "rate $SSHJOBS_PARAM_lr, seed $SSHJOBS_PARAM_seed"', "sleep $((SSHJOBS_PARAM_seed % 3)).$((SSHJOBS_PARAM_seed * 37 % 10))",
    "if [ $((SSHJOBS_PARAM_seed % 13)) = 0 ]; then printf 'loss is \\033[31mnan\\033[0m after step 3\\n' >&2; exit 2; fi",
    "for n in 1 2 3; do printf 'step %d of 3: \\033[32mok\\033[0m\\n' $n; done",
    f"cat > loss.svg <<'END'\n{CHART}\nEND", "head -c 70000 /dev/zero > checkpoint-3.bin",
    r"""printf '{"loss": 0.%02d, "steps": 3}' $((SSHJOBS_PARAM_seed * 71 % 97)) > $SSHJOBS_RESULT_FILE""",
    "if [ $SSHJOBS_PARAM_seed -gt 70 ]; then sleep 600; fi"]


def main() -> None:
    WHERE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as work, open_lab(4) as lab, browser() as chromium:
        results = Path(work) / "results"
        specs = [JobSpec(SCRIPT, name=f"fit-{n}", entry="fit", params={"lr": f"0.{n % 4 + 1}", "seed": str(n)},
                         outputs=["loss.svg", "checkpoint-*.bin"]) for n in range(1, 81)]
        run = Run.start(specs, [f"{host.name} slots=2" for host in lab.hosts], results=results, name="sweep-7",
                        ssh_config=str(lab.ssh_config))
        wait_until(lambda: sum(job.state == "busy" for job in run.jobs) == 8
                   and all(job.state in ("done", "error") for job in run.jobs[:70]), 100)
        # By then each host has said how it fares, with the jobs that go on.
        time.sleep(70)
        with serving(results) as served:
            for name, (width, height, scheme) in SCREENS.items():
                context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
                page = context.new_page()
                page.goto(served.url)
                page.wait_for_selector("#runs")
                for which, address in PAGES.items():
                    page.goto(f"{served.address}/{address}")
                    page.wait_for_selector("main h1, #totals")
                    page.wait_for_timeout(1500)
                    # Without what is empty below.
                    end = int(page.evaluate("document.querySelector('main').getBoundingClientRect().bottom")) + 8
                    page.screenshot(path=str(WHERE / f"web-{which}-{name}.png"),
                                    clip={"x": 0, "y": 0, "width": width, "height": min(height, end)})
                context.close()
        run.cancel()
        run.wait(60)


if __name__ == "__main__":
    main()
