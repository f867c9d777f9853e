"""A large run in a server of its own, measured page by page: ``python -m tests.web.scale [JOBS [pages]]``; with ``pages`` only how long
each takes to open in a browser, five times."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import httpx

from sshjobs.store.rundir import RunPaths
from tests.cli.runs import edit
from tests.lab.waiting import wait_until
from tests.web.serving import browser

#: The most that each may take: seconds and bytes of an answer, bytes of the server's memory.
MOST_SECONDS, MOST_BYTES, MOST_MEMORY = 0.3, 200_000, 150 << 20
HOSTS = 100
#: What pages ask, with the sorts and filters that cost most.
ASKED = {
    "runs": "/api/runs", "overview": "/api/runs/big-1/overview", "together": "/api/together",
    "jobs": "/api/runs/big-1/jobs", "jobs, last page": "/api/runs/big-1/jobs?offset={last}",
    "jobs, most": "/api/runs/big-1/jobs?limit=500",
    **{f"jobs by {sort}, {order}": f"/api/runs/big-1/jobs?sort={sort}&order={order}&offset={{middle}}"
       for sort in ("name", "state", "host", "seconds") for order in ("asc", "desc")},
    "jobs that failed": "/api/runs/big-1/jobs?state=error&sort=seconds",
    "jobs done, last page": "/api/runs/big-1/jobs?state=done&offset={almost}",
    "jobs done, last first": "/api/runs/big-1/jobs?state=done&order=desc&offset={almost}",
    "jobs by outcome and host": "/api/runs/big-1/jobs?outcome=failed&host=h050&sort=seconds&order=desc",
    "jobs found": "/api/runs/big-1/jobs?search=77", "jobs found, none": "/api/runs/big-1/jobs?search=nothing-of-the-kind",
    "jobs by a value of many": "/api/runs/big-1/jobs?params=lr=0.3&offset={tenth}",
    "jobs by values and state": "/api/runs/big-1/jobs?params=job[lr=.3,batch=13]&state=done&sort=seconds&order=desc",
    "jobs by a value of one": "/api/runs/big-1/jobs?params=seed={middle}",
    "job": "/api/runs/big-1/job?job=job-{middle}", "output": "/api/runs/big-1/output?job=job-{middle}&stream=stdout",
    "host": "/api/runs/big-1/host?host=h050", "timeline": "/api/runs/big-1/timeline",
    "timeline, a part": "/api/runs/big-1/timeline?begin=1700002000&end=1700003000",
    "timeline, a small part": "/api/runs/big-1/timeline?begin=1700002000&end=1700002003",
}


def make_big(results: Path, jobs: int) -> RunPaths:
    """Make a run that has ended: jobs on 100 hosts, each of some seconds, one in fifty failed; with parameters of 10, 128 and
    as many values as there are jobs."""
    with edit(results, "big-1", ["job-0"], attended=True) as made:
        paths, connection = made.paths, made.store._connection
        connection.execute("BEGIN")
        connection.execute("DELETE FROM jobs")
        connection.execute("DELETE FROM counts")
        connection.execute("DELETE FROM hosts")
        for n in range(HOSTS):
            host: dict[str, object] = {"name": f"h{n:03}", "user": None, "port": None, "slots": 8, "python": None, "tags": [], "local": False,
                    "via": None, "drained": False, "removed": False}
            connection.execute("INSERT INTO hosts (name, host, facts, state, since) VALUES (?, ?, ?, 'up', 1700000000)",
                               (host["name"], json.dumps(host), json.dumps({"cores": 8, "memory": 1 << 34, "gpus": []})))
        connection.execute(f"""
            INSERT INTO jobs (number, name, spec, repeat, state, outcome, exit_status, host, params)
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {jobs})
            SELECT i, 'job-' || i, 1, i, iif(i % 50, 'done', 'error'), iif(i % 50, 'succeeded', 'failed'), iif(i % 50, 0, 3),
                   printf('h%03d', i % {HOSTS}), json_array('0.' || (i % 10), '' || (i % 128), '' || i) FROM n""")
        connection.execute("UPDATE specs SET spec = json_set(spec, '$.entry', 'job', '$.param_names', json('[\"lr\", \"batch\", \"seed\"]'))")
        connection.execute("""
            INSERT INTO attempts (job, n, host, token, state, outcome, exit_status, started, ended, pid, out_size, err_size,
                                  cpu, rss, released)
            SELECT number, 1, host, '', state, outcome, exit_status, 1700000000.0 + number / 160.0,
                   1700000000.0 + number / 160.0 + 1 + number % 7919 / 1000.0, 4711, 20, 0, 0.5, 1048576, 1 FROM jobs""")
        connection.execute("INSERT INTO counts SELECT state, outcome, count(*) FROM jobs GROUP BY 1, 2")
        connection.execute("UPDATE run SET state = 'failed'")
        connection.execute("COMMIT")
    directory = paths.job(f"job-{jobs // 2}")
    directory.mkdir()
    (directory / "stdout").write_bytes(b"line\n" * 4)
    return paths


@dataclass
class Server:
    """A server in a process of its own."""

    process: subprocess.Popen[str]
    address: str
    token: str

    def client(self) -> httpx.Client:
        """Return a client with the token."""
        return httpx.Client(base_url=self.address, headers={"Authorization": f"Bearer {self.token}"}, timeout=60)

    def status(self, key: str) -> int:
        """Return a size of /proc/PID/status, in bytes."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(key + ":")) << 10

    def cpu(self) -> float:
        """Return the seconds of CPU that it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def server(results: Path, *options: str, state: Path | None = None, port: int = 0) -> Iterator[Server]:
    """Run ``sshjobs serve`` for the block."""
    environ = {**os.environ, "XDG_STATE_HOME": str(state or results.parent / "state")}
    with subprocess.Popen([sys.executable, "-m", "sshjobs", "serve", "--results", str(results), "--port", str(port), *options],
                          stdout=subprocess.PIPE, text=True, env=environ) as process:
        try:
            assert process.stdout is not None
            address, _, token = process.stdout.readline().strip().partition("/#token=")
            yield Server(process, address, token)
        finally:
            process.terminate()


def measure(served: Server, jobs: int, asked: dict[str, str] = ASKED) -> dict[str, tuple[float, int]]:
    """Return seconds and bytes on the wire of each answer, the better of two."""
    found: dict[str, tuple[float, int]] = {}
    with served.client() as client:
        wait_until(lambda: client.get("/api/runs/big-1/overview").json()["ready"], 300)
        # The orders of the jobs are made once the run is read.
        client.get("/api/runs/big-1/jobs?sort=name")
        for name, path in asked.items():
            times = []
            for _ in range(2):
                began = time.perf_counter()
                answer = client.get(path.format(last=max(0, jobs - 100), middle=jobs // 2, tenth=jobs // 20,
                                                almost=jobs * 49 // 50 - 50))
                times.append(time.perf_counter() - began)
                assert answer.status_code == 200, (name, answer.text)
            found[name] = min(times), int(answer.num_bytes_downloaded)
    return found


#: What is looked at in a browser, and what is there once a page is shown.
PAGES = {"runs": ("", "#runs"), "cluster": ("?run=big-1", "#hosts"), "jobs": ("?run=big-1&view=jobs&sort=seconds&order=desc&offset={middle}", "#jobs"),
         "job": ("?run=big-1&view=job&job=job-{middle}", "pre.output"), "host": ("?run=big-1&view=host&host=h050", "#ended"),
         "timeline": ("?run=big-1&view=timeline", "canvas"), "manage": ("?run=big-1&view=manage", "#manage"), "together": ("?view=together", "#totals"),
         "results": ("?run=big-1&view=results", "#results, main [role=alert]")}


def look(served: Server, jobs: int) -> dict[str, tuple[float, float, int]]:
    """Return for each page how many seconds it takes from its address until its contents are drawn, by the browser's own clock, the same for
    one that is opened by a link, and the bytes that the first of them brings: all of its files too, as for a browser that was never here."""
    found: dict[str, tuple[float, float, int]] = {}
    with browser() as chromium:
        for name, (address, there) in PAGES.items():
            address = address.format(middle=jobs // 2)
            context = chromium.new_context()
            page = context.new_page()
            page.goto(f"{served.address}/#token={served.token}")
            page.wait_for_selector("#runs")
            # The page before is to be done with its own work.
            page.wait_for_timeout(300)
            taken, devtools = [0], context.new_cdp_session(page)
            devtools.send("Network.enable")
            devtools.send("Network.setCacheDisabled", {"cacheDisabled": True})
            devtools.on("Network.dataReceived", lambda event, taken=taken: taken.__setitem__(0, taken[0] + event["encodedDataLength"]))
            page.add_init_script(f"""(() => {{
                window.drawn = new Promise((resolve) => {{
                    const look = () => requestAnimationFrame(document.querySelector({json.dumps(there)}) ? drawn : look);
                    const drawn = () => resolve(performance.now());
                    look(); }}); }})()""")
            page.goto(f"{served.address}/{address}")
            whole, size = page.evaluate("() => window.drawn") / 1000, taken[0]
            # And without a look at the files again, as when one goes from page to page.
            other, shows = PAGES["cluster" if name == "jobs" else "jobs"]
            page.goto(f"{served.address}/{other.format(middle=jobs // 2)}")
            page.wait_for_selector(shows)
            linked = page.evaluate("""([address, there]) => new Promise((resolve) => {
                const began = performance.now();
                const look = () => (document.querySelector(there) ? resolve(performance.now() - began) : requestAnimationFrame(look));
                history.pushState(null, "", address || "?"); dispatchEvent(new PopStateEvent("popstate")); look(); })""", [address, there])
            found[name] = whole, linked / 1000, size
            context.close()
    return found


def main() -> None:
    jobs, rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000, 5 if sys.argv[2:] == ["pages"] else 1
    with tempfile.TemporaryDirectory() as work:
        results = Path(work) / "results"
        began = time.perf_counter()
        make_big(results, jobs)
        print(f"{jobs:,} jobs made in {time.perf_counter() - began:.1f} s; load {os.getloadavg()[0]:.1f}")
        with server(results) as served:
            began = time.perf_counter()
            found = measure(served, jobs, {} if rounds > 1 else ASKED)
            print(f"read and measured in {time.perf_counter() - began:.1f} s")
            for name, (seconds, size) in found.items():
                print(f"{name:34} {seconds * 1000:7.1f} ms {size:9,} bytes" + (" !" if seconds > MOST_SECONDS or size > MOST_BYTES else ""))
            looks = [look(served, jobs) for _ in range(rounds)]
            for name in PAGES:
                whole, links, sizes = zip(*(one[name] for one in looks), strict=True)
                print(f"page {name:29} {median(whole) * 1000:7.1f} ms, {max(whole) * 1000:7.1f} ms at most, {max(sizes):9,} bytes, "
                      f"by a link {median(links) * 1000:7.1f} ms" + (" !" if max(*whole, *links) > MOST_SECONDS or max(sizes) > MOST_BYTES else ""))
            print(f"memory {served.status('VmRSS') / (1 << 20):.0f} MiB, at most {served.status('VmHWM') / (1 << 20):.0f} MiB")


if __name__ == "__main__":
    main()
