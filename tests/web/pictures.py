"""Takes the pictures of docs/web.md from a real run over ssh: ``python -m tests.web.pictures``."""

from __future__ import annotations

import base64
import struct
import tempfile
import time
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

from sshjobs import JobSpec, Run
from tests.lab import open_lab
from tests.lab.waiting import wait_until
from tests.web.serving import browser, serving

WHERE = Path(__file__).parents[2] / "docs" / "pictures"
PAGES = {"runs": "", "cluster": "?run=sweep-7", "jobs": "?run=sweep-7&view=jobs&params=lr%3D0.3", "timeline": "?run=sweep-7&view=timeline&begin={since:.3f}&end={until:.3f}",
         "results": "?run=sweep-7&view=results&where=loss<0.5&sort=loss", "job": "?run=sweep-7&view=job&job=fit-9", "host": "?run=sweep-7&view=host&host=node02",
         "failure": "?run=sweep-7&view=job&job=fit-13&stream=stderr", "manage": "?run=sweep-7&view=manage", "together": "?view=together"}
#: Width, height, and the scheme of colours.
SCREENS = {"light": (1280, 760, "light"), "dark": (1280, 760, "dark"), "phone": (390, 760, "light")}
CHART = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 300 120" width="300" height="120"><rect width="300" height="120" fill="#fff"/>
<path d="M10 20 L80 60 L150 85 L220 95 L290 100" fill="none" stroke="#0b5c8e" stroke-width="3"/><text x="10" y="112" font-size="11">loss by step</text></svg>"""
SCRIPT = f"""
echo "rate $1, seed $2"
sleep $(($2 % 3)).$(($2 * 37 % 10))
if [ $(($2 % 13)) = 0 ]; then printf 'loss is \\033[31mnan\\033[0m after step 3\\n' >&2; exit 2; fi
for n in 1 2 3; do printf 'step %d of 3: \\033[32mok\\033[0m\\n' $n; done
cat > loss.svg <<'END'
{CHART}
END
head -c 70000 /dev/zero > checkpoint-3.bin
printf '{{"loss": 0.%02d, "steps": 3}}' $(($2 * 71 % 97)) > $SSHJOBS_RESULT_FILE
if [ $2 -gt 70 ]; then sleep 600; fi
"""
#: Has the pixels of a PNG read by the browser: red, green, blue and opacity of each.
PIXELS = """async (png) => {
  const image = await createImageBitmap(await (await fetch("data:image/png;base64," + png)).blob());
  const pen = new OffscreenCanvas(image.width, image.height).getContext("2d");
  pen.drawImage(image, 0, 0);
  const reader = new FileReader();
  reader.readAsDataURL(new Blob([pen.getImageData(0, 0, image.width, image.height).data]));
  await new Promise((resolve) => { reader.onload = resolve; });
  return [image.width, image.height, reader.result.split(",")[1]];
}"""


def with_palette(png: bytes, blank: Any) -> bytes:
    """Return a picture with its 256 most frequent colours, each other one as the nearest of them: a third of the size.

    :param blank: a page that reads it for us
    """
    width, height, text = blank.evaluate(PIXELS, base64.b64encode(png).decode())
    data = base64.b64decode(text)
    pixels = list(zip(data[0::4], data[1::4], data[2::4], strict=True))
    colours = [colour for colour, _ in Counter(pixels).most_common()]
    palette = colours[:256]
    places = {colour: place for place, colour in enumerate(palette)}
    for one in colours[256:]:
        places[one] = min(range(256), key=lambda place: sum(abs(a - b) for a, b in zip(palette[place], one, strict=True)))
    rows = bytes(places[pixel] for pixel in pixels)
    lines = b"".join(b"\0" + rows[at:at + width] for at in range(0, width * height, width))
    parts = {b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0), b"PLTE": b"".join(map(bytes, palette)),
             b"IDAT": zlib.compress(lines, 9), b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(struct.pack(">I", len(part)) + kind + part + struct.pack(">I", zlib.crc32(kind + part))
                                             for kind, part in parts.items())


def main() -> None:
    WHERE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as work, open_lab(4) as lab, browser() as chromium:
        results = Path(work) / "results"
        (Path(work) / "fit").write_text(SCRIPT)
        specs = [JobSpec(['sh fit "$SSHJOBS_PARAM_lr" "$SSHJOBS_PARAM_seed"'], files=["fit"], base_dir=work, name=f"fit-{n}", entry="fit",
                         params={"lr": f"0.{n % 4 + 1}", "seed": str(n)}, outputs=["loss.svg", "checkpoint-*.bin"]) for n in range(1, 81)]
        run = Run.start(specs, [f"{host.name} slots=2" for host in lab.hosts], results=results, name="sweep-7",
                        ssh_config=str(lab.ssh_config))
        wait_until(lambda: sum(job.state == "busy" for job in run.jobs) == 8
                   and all(job.state in ("done", "error") for job in run.jobs[:70]), 100)
        # The time in which most of it happened.
        attempts = [attempt for job in run.jobs for attempt in job.attempts]
        since = min(attempt.started for attempt in attempts if attempt.started is not None)
        until = max(attempt.ended for attempt in attempts if attempt.ended is not None) + 2
        # By then each host has said how it fares, with the jobs that go on.
        time.sleep(70)
        with serving(results) as served:
            blank = chromium.new_page()
            for name, (width, height, scheme) in SCREENS.items():
                context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
                page = context.new_page()
                page.goto(served.url)
                page.wait_for_selector("#runs")
                for which, address in PAGES.items():
                    page.goto(f"{served.address}/{address.format(since=since, until=until)}")
                    page.wait_for_selector("main h1, #totals")
                    page.wait_for_timeout(1500)
                    # Without what is empty below, and without the settings of a job, of which one names a directory of this machine.
                    end = int(page.evaluate("""Math.min(document.querySelector('main').getBoundingClientRect().bottom + 8, ...[
                        ...document.querySelectorAll('h2')].filter(h2 => h2.innerText === 'Settings').map(h2 => h2.getBoundingClientRect().top - 8))"""))
                    taken = page.screenshot(clip={"x": 0, "y": 0, "width": width, "height": min(height, end)})
                    (WHERE / f"web-{which}-{name}.png").write_bytes(with_palette(taken, blank))
                context.close()
        run.cancel()
        run.wait(60)


if __name__ == "__main__":
    main()
