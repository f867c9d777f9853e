"""A real run over four real sshd, looked at and managed by two browsers at once; the server as people start it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from sshjobs import Job, JobSpec, Run
from tests.cli.runs import edit
from tests.hints import tries
from tests.lab import BaseLab, LabHost
from tests.lab.waiting import wait_until
from tests.web.scale import server
from tests.web.serving import Served, serving
from tests.web.sorting import every_table_sorts
from tests.web.test_pages import log_in

LONG = "echo begun; i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo line $i; sleep 0.2; done"


class Watched:
    """A run with two browsers that look at it."""

    def __init__(self, run: Run, lab: BaseLab, served: Served, chromium: Any):
        self.run, self.served = run, served
        self.hosts = {host.name: host for host in lab.hosts}
        self.contexts = [chromium.new_context(), chromium.new_context()]
        self.one, self.other = (log_in(context, served) for context in self.contexts)
        self.go(self.other, "")

    def go(self, page: Any, rest: str) -> None:
        page.goto(f"{self.served.address}/?run={self.run.name}{rest}")
        page.wait_for_selector("main h1, #totals")

    def busy(self, host: str | None = None) -> list[Job]:
        return [job for job in self.run.jobs if job.state == "busy" and host in (None, job.host)]

    def both_show(self, state: str, number: int) -> None:
        """The other browser, which nobody touches, shows it, and so does a page that is opened now."""
        for page in (self.other, self.one):
            if page is self.one:
                self.go(page, "")
            page.wait_for_function(f"() => document.querySelector('[data-count={state}]')?.innerText === '{number}'")
        totals = [page.locator("#totals").inner_text().split("jobs per second")[0].rpartition("\\n")[0] for page in (self.one, self.other)]
        assert totals[0] == totals[1]

    def alive(self, job: Job) -> bool:
        """Whether the process of a job's newest attempt runs on its host."""
        attempt = job.attempts[-1]
        host: LabHost = self.hosts[attempt.host]
        return host.ssh(f"kill -0 {attempt.pid} 2>/dev/null && echo yes || true").stdout.strip() in ("yes", b"yes")

    def set_slots(self, host: str, slots: int) -> None:
        self.go(self.one, "&view=manage")
        self.one.get_by_label(f"slots of {host}", exact=True).fill(str(slots))
        self.one.get_by_role("row", name=re.compile(host)).get_by_role("button", name="Set slots").click()

    def close(self) -> None:
        assert self.one.complaints == self.other.complaints == []
        for context in self.contexts:
            context.close()


@pytest.mark.lab
def test_two_browsers_watch_and_manage_a_run_over_ssh(chromium: Any, lab: BaseLab, tmp_path: Path) -> None:
    first, second, third, fourth = (host.name for host in lab.hosts[:4])
    specs = [JobSpec([LONG], name=f"long-{n}") for n in range(1, 17)]
    run = Run.start(specs, [f"{first} slots=2", f"{second} slots=1", f"{third} slots=1"], results=tmp_path / "results", name="web-1",
                    ssh_config=str(lab.ssh_config))
    with run, serving(tmp_path / "results") as served:
        web = Watched(run, lab, served, chromium)
        one = web.one
        web.both_show("busy", 4)

        # A job is followed and cancelled: its process is gone on the host.
        job = web.busy(first)[0]
        web.go(one, f"&view=job&job={job.name}")
        one.wait_for_function("() => document.querySelector('pre.output')?.textContent.includes('line 9\\n')")
        assert web.alive(job)
        one.get_by_role("button", name="Cancel", exact=True).click()
        one.get_by_role("button", name="Cancel it").click()
        one.locator("main .s-error").first.wait_for()
        assert job.outcome == "cancelled" and not web.alive(job)
        web.both_show("error", 1)

        # Drained: what runs there goes on, nothing more is launched, whatever ends there.
        web.go(one, f"&view=host&host={second}")
        one.get_by_role("button", name="Drain", exact=True).click()
        one.get_by_role("button", name="Undrain").wait_for()
        there, = web.busy(second)
        one.get_by_label(f"select {there.name}").check()
        one.get_by_role("button", name="Cancel 1 selected").click()
        one.get_by_role("button", name="Cancel them").click()
        wait_until(lambda: there.state == "error", 20)
        assert not web.alive(there)

        # A host comes in, and jobs start on it; none did where it was drained.
        web.go(one, "&view=manage")
        one.get_by_label("One a line").fill(f"{fourth} slots=1")
        one.get_by_role("button", name="Add", exact=True).click()
        wait_until(lambda: bool(web.busy(fourth)), 20)
        assert web.busy(second) == []
        web.both_show("busy", 4)
        web.go(one, f"&view=host&host={second}")
        one.get_by_role("button", name="Undrain").click()
        wait_until(lambda: bool(web.busy(second)), 20)

        # More slots: more jobs. Fewer: those that run go on, until somebody says otherwise.
        web.set_slots(first, 4)
        wait_until(lambda: len(web.busy(first)) == 4, 20)
        web.set_slots(first, 1)
        one.get_by_role("dialog").get_by_role("button", name="No").click()
        before = web.busy(first)
        ended = before[0]
        web.go(one, f"&view=job&job={ended.name}")
        one.get_by_role("button", name="Cancel", exact=True).click()
        one.get_by_role("button", name="Cancel it").click()
        wait_until(lambda: ended.state == "error", 20)
        web.both_show("error", 3)
        assert web.busy(first) == before[1:]
        web.set_slots(first, 1)
        one.get_by_role("button", name="Cancel them").click()
        wait_until(lambda: len(web.busy(first)) == 1, 20)
        assert not any(web.alive(job) for job in before[1:] if job.state == "error")
        web.both_show("error", 5)

        # How hosts fare has come by now.
        web.go(one, f"&view=host&host={third}")
        one.wait_for_function("() => /load \\d/.test(document.querySelector('dl').innerText)")
        web.go(one, "")
        one.wait_for_function("() => [...document.querySelectorAll('#hosts tbody tr')].some(row => /B$/.test(row.cells[13].innerText))")

        # All of it ends from the page.
        web.go(one, "&view=manage")
        one.get_by_role("button", name="Cancel all").first.click()
        one.get_by_role("dialog").get_by_role("button", name="Cancel all").click()
        assert run.wait(60) == 1
        web.both_show("busy", 0)
        web.close()


#: A picture, and how a job draws it.
DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNg+M/AAAADAQEANL4M1QAAAABJRU5ErkJggg=="
PAINT = [f"echo {DOT} | base64 -d > dot.png", "mkdir notes", "echo '<script>alert(1)</script>' > notes/page.html", 'echo \'{"loss": 0.25}\' > "$SSHJOBS_RESULT_FILE"']


@pytest.mark.lab
def test_what_jobs_leave_why_they_wait_and_what_a_person_does_about_it(chromium: Any, lab: BaseLab, tmp_path: Path) -> None:
    hosts = [host.name for host in lab.hosts[:4]]

    def everywhere(name: str) -> None:
        for host in lab.hosts:
            (host.home / name).touch()

    specs = [JobSpec(PAINT, name=f"paint-{n}", entry="paint", params={"lr": f"0.{n}"}, outputs=["*.png", "notes"]) for n in (1, 2, 3)]
    specs += [JobSpec(["echo not mended >&2; test -e ~/mended"], name="fails"),
              JobSpec(["while [ ! -e ~/open ]; do sleep 0.05; done"], name="gate"),
              JobSpec(["echo late"], name="late", after=["gate"])]
    (tmp_path / "hosts.txt").write_text("".join(f"{name} slots=2\n" for name in hosts))
    run = Run.start(specs, [f"{name} slots=2" for name in hosts[:2]], results=tmp_path / "results", name="web-2", ssh_config=str(lab.ssh_config),
                    stays_open=True)
    state = {job.spec.name: job for job in run.jobs}
    with run, serving(tmp_path / "results", hosts_file=tmp_path / "hosts.txt") as served:
        web = Watched(run, lab, served, chromium)
        one = web.one
        wait_until(lambda: state["fails"].state == "error" and all(state[f"paint-{n}"].state == "done" for n in (1, 2, 3)), 60)

        # By the value of a parameter to a job, what it left, and its picture.
        web.go(one, "&view=jobs&params=paint[lr=.2]")
        one.get_by_role("link", name="paint-2").click()
        one.locator("dl[aria-label=Result]").get_by_text("0.25").wait_for()
        one.wait_for_function("() => [...document.querySelectorAll('#files img')].some(img => img.complete && img.naturalWidth === 1)")
        with one.expect_download() as download:
            one.get_by_role("link", name="notes/page.html").click()
        assert Path(download.value.path()).read_text() == "<script>alert(1)</script>\n"
        web.go(one, "&view=results&where=loss<0.3&sort=lr&order=desc")
        one.wait_for_selector("#results")
        assert one.locator("#results tbody tr td:first-child").all_inner_texts() == ["paint-3", "paint-2", "paint-1"]

        # Why a job waits, and why one failed.
        web.go(one, "&view=job&job=late")
        one.get_by_text("it runs after gate, which has not succeeded").wait_for()
        web.go(one, "&view=job&job=fails&stream=stderr")
        one.get_by_text("failed, status 1").first.wait_for()
        one.get_by_text("not mended").first.wait_for()
        where = state["fails"].host
        ended = [job for job in run.jobs if job.state in ("done", "error")]
        here, elsewhere = ([job.state for job in ended if (job.host == where) is there] for there in (True, False))
        web.go(one, f"&view=host&host={where}")
        one.get_by_text(f"{100 * here.count('error') / len(here):.1f} % here, {'0.0 %' if elsewhere else '–'} on all others").wait_for()

        # Paused, nothing is launched, whatever ends and whoever is told to run again.
        web.go(one, "&view=manage")
        one.get_by_role("button", name="Pause", exact=True).click()
        one.get_by_text("paused: nothing is launched").wait_for()
        everywhere("open")
        wait_until(lambda: state["gate"].state == "done", 30)

        # Every table of every page is sorted by every column, both ways: of jobs that are done, failed and waiting.
        for name, size in ("other-1", 3), ("other-2", 5):
            with edit(tmp_path / "results", name, [f"job-{n}" for n in range(size)]) as other:
                other.done("job-0")
        with served.client() as client:
            every_table_sorts(one, client, served.address, run.name)

        everywhere("mended")
        web.go(one, "&view=job&job=fails")
        one.get_by_role("button", name="Try again").click()
        one.get_by_text("the run is paused by a person").wait_for()
        web.go(one, "&view=job&job=late")
        one.get_by_text("the run is paused by a person").wait_for()
        assert len(state["fails"].attempts) == 1 and not state["late"].attempts
        web.go(one, "&view=manage")
        one.get_by_role("button", name="Unpause").click()
        wait_until(lambda: state["fails"].state == state["late"].state == "done", 30)
        web.go(one, "&view=job&job=fails")
        one.get_by_label("Of attempt").select_option("1")
        one.get_by_role("link", name="stderr").click()
        one.get_by_text("not mended").first.wait_for()

        # Hosts by a wildcard, and one out of the run again.
        web.go(one, "&view=manage")
        one.get_by_label("One a line").fill("*")
        one.get_by_role("button", name="Add", exact=True).click()
        for name in hosts:
            one.get_by_label(f"slots of {name}", exact=True).wait_for()
        one.get_by_role("row", name=re.compile(hosts[3])).get_by_role("button", name="Remove").click()
        one.get_by_role("dialog").get_by_role("button", name="Take it out").click()
        one.get_by_label(f"slots of {hosts[3]}", exact=True).wait_for(state="detached")
        run.finish()
        assert run.wait(60) == 0
        web.close()


def test_browsers_go_on_when_the_server_was_killed_and_started_again(chromium: Any, results: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with server(results, state=state) as first:
        port = int(first.address.rpartition(":")[2])
        context = chromium.new_context()
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.goto(f"{first.address}/#token={first.token}")
        page.wait_for_selector("#runs")
        page.goto(f"{first.address}/?run=sweep-1")
        page.wait_for_selector("#totals")
        others = {}
        for place in ("", "?run=sweep-1&view=jobs", "?run=sweep-1&view=manage"):
            others[place] = context.new_page()
            others[place].goto(f"{first.address}/{place}")
        others[""].wait_for_selector("#runs td")
        others["?run=sweep-1&view=jobs"].wait_for_selector("#jobs")
        others["?run=sweep-1&view=manage"].get_by_label("One a line").fill("a")
        os.kill(first.process.pid, signal.SIGKILL)
        first.process.wait(20)
        page.get_by_text("does not answer").wait_for()
        # In our words on every page, not in those of the browser, and where something was to be done, too.
        others["?run=sweep-1&view=manage"].get_by_role("button", name="Add", exact=True).click()
        for other in others.values():
            other.get_by_text("does not answer").first.wait_for()
            assert "fetch" not in other.inner_text("body")
        with server(results, state=state, port=port) as second:
            assert second.token == first.token
            page.get_by_text("does not answer").wait_for(state="detached")
            page.get_by_role("link", name="Jobs", exact=True).click()
            page.wait_for_selector("#jobs")
        context.close()


def test_the_program_of_the_seed(tmp_path: Path) -> None:
    """The program of docs/web.md, as it stands there."""
    text = (Path(__file__).parents[2] / "docs" / "web.md").read_text()
    program = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert program is not None
    lines = [line for line in program[1].splitlines() if line.strip()]
    assert len(lines) <= 12
    # Any port that is free, one that does not wait ten seconds at its end, and shorter naps.
    code = program[1].replace("HTTPServer(manager)", "HTTPServer(manager, port=0, poll_sec=1)").replace("range(8)", "range(3)")
    assert code.count("port=0") == 1 and code.count("range(3)") == 1
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=tmp_path,
                          env={**os.environ, "PYTHONUNBUFFERED": "1"}) as process:
        assert process.stdout is not None
        address, _, token = process.stdout.readline().strip().partition("/#token=")
        with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}) as client:
            wait_until(lambda: client.get("/api/runs").json()["runs"][0]["counts"]["done"] == 3, 40)
        assert process.wait(30) == 0


def test_a_program_shows_several_managers_in_one_server_and_one_in_several(tmp_path: Path) -> None:
    import sshjobs
    from sshjobs.web import HTTPServer

    heard: list[tuple[str, str, str | None]] = []

    class Mine(sshjobs.Manager):
        def HandleJobDone(self, job: Job) -> None:
            heard.append(("mine", job.state, job.host))

    class Server(HTTPServer):
        def cluster_status(self, status: str, host: str | None, job: Job | None) -> None:
            heard.append(("server", status, host))
            super().cluster_status(status, host, job)

    def manager(name: str) -> sshjobs.Manager:
        builder = sshjobs.Builder()
        builder.AddJob(["true"], name="nap")
        made = Mine(0.2)
        made.Setup(builder.MakeJobSpecs(), sshjobs.Network(str(tmp_path / name), ["localhost local slots=1"]))
        return made

    def runs(server: HTTPServer, path: str = "runs") -> Any:
        address, _, token = server.url.partition("/#token=")
        return httpx.get(f"{address}/api/{path}", headers={"Authorization": f"Bearer {token}"}).json()

    first, second, third = manager("a"), manager("b"), manager("c")
    server, another = Server(first, port=0, poll_sec=0), HTTPServer(first, port=0, poll_sec=0)
    server.add_cluster(second)
    server.add_cluster(second)
    server.add_cluster(third)
    server.del_cluster(third)
    assert [run["name"] for run in runs(server)["runs"]] == [first.paths.name, f"{second.paths.name}~2"]
    assert runs(server, "together")["run"]["total"] == 2 and runs(another, "together")["run"]["total"] == 1
    for one in (first, second, third):
        one.ProcessJobs()
    assert heard.count(("mine", "done", "localhost")) == 3 and heard.count(("server", "done", "localhost")) == 2
    assert heard.index(("mine", "done", "localhost")) < heard.index(("server", "done", "localhost"))
    assert ("server", "launch", "localhost") in heard and ("server", "up", "localhost") in heard
    assert runs(server, "together")["run"]["counts"]["done"] == 2
    assert server.last_change is not None and another.last_change is not None
    for one_server in (server, another):
        one_server.shutdown()
    assert not [thread for thread in threading.enumerate() if thread.name == "sshjobs-http"]


def test_a_program_may_have_pages_of_its_own(tmp_path: Path) -> None:
    import sshjobs
    from sshjobs.web import HTTPServer

    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "index.html").write_text("<p>ours</p>")
    builder = sshjobs.Builder()
    builder.AddJob(["true"], name="nap")
    manager = sshjobs.Manager(0.2)
    manager.Setup(builder.MakeJobSpecs(), sshjobs.Network(str(tmp_path / "r"), ["localhost local slots=1"]))
    server = HTTPServer(manager, port=0, poll_sec=0, DocumentRoot=str(tmp_path / "pages"))
    address, _, token = server.url.partition("/#token=")
    assert httpx.get(f"{address}/").text == "<p>ours</p>"
    assert httpx.get(f"{address}/static/main.js").status_code == 404
    manager.ProcessJobs()
    answer = httpx.get(f"{address}/api/runs", headers={"Authorization": f"Bearer {token}"})
    assert answer.json()["runs"][0]["counts"]["done"] == 1
    server.shutdown()


def test_who_has_logged_in_from_elsewhere_is_told_how_to_reach_the_pages(results: Path, tmp_path: Path) -> None:
    environ = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state"), "SSH_CONNECTION": "192.0.2.1 1 192.0.2.2 22"}
    with subprocess.Popen([sys.executable, "-m", "sshjobs", "serve", "--results", str(results), "--port", "0"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, env=environ) as process:
        assert process.stdout is not None and process.stderr is not None
        port = re.search(r":(\d+)/#token=", process.stdout.readline())
        assert port is not None and f"ssh -L {port[1]}:127.0.0.1:{port[1]} {socket.gethostname()}" in process.stderr.readline()
        process.terminate()


def test_a_run_is_shown_in_browsers_as_long_as_it_goes_on(tmp_path: Path) -> None:
    (tmp_path / "jobs.yaml").write_text(f"jobs:\n  - name: nap\n    commands: ['while [ ! -e {tmp_path}/enough ]; do sleep 0.05; done']\n")
    (tmp_path / "hosts.txt").write_text("localhost local slots=1\nspare-1\n")
    with subprocess.Popen([sys.executable, "-m", "sshjobs", "run", "jobs.yaml", "--web", "--quiet", "--hosts", "hosts.txt", "--name", "web-2"],
                          cwd=tmp_path, stderr=subprocess.PIPE, text=True,
                          env={**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")}) as process:
        assert process.stderr is not None
        found = None
        while found is None:
            line = process.stderr.readline()
            assert line, "the run has ended"
            found = re.search(r"(http://\S+)/#token=(\S+)", line)
        with httpx.Client(base_url=found[1], headers={"Authorization": f"Bearer {found[2]}"}) as client:
            wait_until(lambda: client.get("/api/runs").json()["runs"][0]["counts"]["busy"] == 1, 40)
            (tmp_path / "enough").touch()
            process.stderr.read()
            assert process.wait(60) in (0, 1)
            with pytest.raises(httpx.TransportError):
                client.get("/api/runs")


@tries("the pages of the run have ended, and the run goes on; to show them again: sshjobs serve")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_goes_on_when_its_pages_are_gone_and_says_so(tmp_path: Path, number: int) -> None:
    (tmp_path / "jobs.yaml").write_text(f"jobs:\n  - name: nap\n    commands: ['while [ ! -e {tmp_path}/enough ]; do sleep 0.05; done']\n")
    with subprocess.Popen([sys.executable, "-m", "sshjobs", "run", "jobs.yaml", "--web", "--quiet", "--name", "web-2"], cwd=tmp_path,
                          stderr=subprocess.PIPE, text=True, env={**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")}) as process:
        assert process.stderr is not None and "#token=" in process.stderr.readline()
        pages, = [int(one) for one in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
                  if b"\0serve\0" in Path(f"/proc/{one}/cmdline").read_bytes()]
        os.kill(pages, number)
        wait_until(lambda: Path(f"/proc/{pages}/stat").read_text().rpartition(")")[2].split()[0] == "Z", 40)
        assert process.stderr.readline().endswith("to show them again: sshjobs serve\n")
        with subprocess.Popen([sys.executable, "-m", "sshjobs", "serve", "--port", "0"], cwd=tmp_path, stdout=subprocess.PIPE, text=True,
                              env={**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")}) as again:
            assert again.stdout is not None and "#token=" in again.stdout.readline()
            again.terminate()
        (tmp_path / "enough").touch()
        assert process.stderr.read() == "" and process.wait(60) == 0


def test_a_run_that_goes_on_by_itself_shows_nothing_in_browsers(tmp_path: Path) -> None:
    (tmp_path / "jobs.yaml").write_text("jobs: [{name: nap, commands: ['true']}]\n")
    said = subprocess.run([sys.executable, "-m", "sshjobs", "run", "jobs.yaml", "--web", "-d"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (said.returncode, said.stdout, said.stderr.count("\n")) == (2, "", 1) and "--web" in said.stderr
    assert not (tmp_path / "results").exists()
