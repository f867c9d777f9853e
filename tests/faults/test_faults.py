"""A few faults of each kind, for real, held against what jobs wrote themselves. ``make faults`` does thousands."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from sshjobs.network import failpoints
from sshjobs.store import ManagerIdentity, RunReader, RunStore
from tests.conftest import cli_environment, sshjobs_argv
from tests.faults import cancels, chaos, cuts, frames, kills, ledger, outputs
from tests.lab import HostOptions, wait_until

pytestmark = [pytest.mark.lab, pytest.mark.skipif(os.geteuid() != 0, reason="namespaces, nft and mounts need root")]


def test_managers_killed_at_any_moment_lose_and_double_nothing(make_scene):
    found, where = kills.manager_kills(make_scene(seed=101), 8, jobs=40)
    assert found.bad == []
    assert found.repeated == 0
    assert where.total() == 8


@pytest.mark.parametrize("failpoint", failpoints.NAMES)
def test_a_manager_killed_inside_each_short_window_loses_and_doubles_nothing(make_scene, failpoint):
    scene = make_scene(seed=102)
    manager = scene.begin(ledger.mixed(20, 102, pace=0.3), f"{failpoint}:kill@2")
    assert manager.ended(60)
    assert manager.code == -signal.SIGKILL, manager.said()
    scene.finish()
    found = scene.check()
    assert found.bad == []
    assert found.repeated == 0


def test_agents_and_runners_that_are_killed_cost_no_job_its_end(make_scene):
    found, what = kills.far_kills(make_scene(seed=103), 6, jobs=50, interval=0.3)
    assert found.bad == []
    assert what.total() == 6


def test_networks_that_are_cut_in_every_way_lose_and_double_nothing(make_scene):
    found, measured = cuts.cut_networks(make_scene(seed=104), 4, jobs=60, pace=2, longest=5)
    assert found.bad == []
    assert found.repeated == 0
    assert measured.handshakes <= 6


def test_lines_that_break_after_any_byte_lose_and_double_nothing(make_scene):
    found, measured = cuts.break_lines(make_scene(seed=105), 4, jobs=60, pace=2)
    assert found.bad == []
    assert found.repeated == 0
    assert measured.handshakes <= 6


def test_a_launch_that_is_cut_anywhere_starts_exactly_once(clean_home, tmp_path):
    assert frames.break_launches(tmp_path, range(0, frames.LONGEST, 31))[0] == []


def test_jobs_of_hosts_that_reboot_run_again_and_only_those(make_scene):
    found, measured = cuts.reboot_hosts(make_scene(seed=106), 4, jobs=60, pace=2)
    assert found.bad == []
    assert found.repeated > 0


def test_what_died_with_its_host_says_so_and_is_not_run_twice_where_it_must_not(make_scene, rough_lab):
    scene, made = make_scene(seed=107), ledger.Jobs()
    for host in rough_lab.hosts:
        made.add(f"once-{host.name}", ["sleep 300"], once=True, hosts=[host.name])
    scene.begin(made)
    wait_until(lambda: scene.is_there() and len(scene.ledger()) == 4, 30, "all to run")
    for host in rough_lab.hosts:
        host.reboot()
    scene.finish()
    document = json.loads(subprocess.run(
        sshjobs_argv(["status", scene.paths.root, "--json"]), env={**os.environ, **cli_environment()},
        capture_output=True, text=True, check=True).stdout)
    assert {job["outcome"] for job in document["jobs"]} == {"lost"}
    assert len(scene.ledger()) == 4
    assert all(len(job["attempts"]) == 1 for job in document["jobs"])
    with RunReader.open(scene.paths) as reader:
        assert {job.reason for job in reader.jobs()} == {"the host was restarted while it ran"}


def test_everything_at_once_loses_nothing_either(make_scene):
    found, what = chaos.unleash(make_scene(seed=114), 8, jobs=60, pace=2)
    assert found.bad == []
    assert what.total() == 8


def test_cancelled_trees_leave_no_survivor_and_harm_no_bystander(make_scene, fresh_lab):
    lab = fresh_lab(hosts=2)
    found, _, rounds = cancels.cancel_trees(make_scene(seed=108, lab=lab, slots=6), 12, batch=12, churners=1)
    assert found.bad == []
    assert rounds > 0
    assert max(process.inner_pid for host in lab.hosts for process in host.processes()) <= cancels.PID_MAX


def test_every_byte_comes_though_networks_are_cut_and_managers_killed(make_scene, tmp_path):
    scene = make_scene(seed=109)
    jobs = outputs.big_jobs(tmp_path, 96 << 20, 20, 32 << 20, 60, 109)
    # A manager here is a fork of this process, and what other tests have loaded into that is resident in it too.
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    inherited = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    found, figures = outputs.pour(scene, jobs, 4, 2)
    assert found.bad == []
    assert figures["resident_mib"] <= inherited + 80


def test_a_home_that_is_full_for_a_while_loses_and_doubles_nothing(make_scene, fresh_lab):
    lab = fresh_lab(hosts=2, options=HostOptions(home_size="24M"))
    found, times = outputs.fill_homes(make_scene(seed=110, lab=lab), 2, jobs=30)
    assert found.bad == []
    assert found.repeated == 0
    assert times == 2


def test_a_run_whose_own_disk_is_full_for_a_while_goes_on_by_itself(make_scene):
    scene = make_scene(seed=111)
    with outputs.small_results(scene, "48m"):
        found, times = outputs.fill_results(scene, 2, jobs=40)
    assert found.bad == []
    assert times == 2


def test_a_manager_that_wakes_up_after_another_took_the_run_stops_and_ends_nothing(make_scene):
    scene = make_scene(seed=112)
    jobs = ledger.mixed(40, 112, pace=2)
    sleeper = scene.begin(jobs, "after_intent:stop@2")
    wait_until(lambda: _state(sleeper.pid) == "T", 30, "the manager to stop")
    refused = scene.resume()
    assert refused.ended(30) and refused.code == 2
    assert f"process {sleeper.pid} on " in refused.said()
    # A person who knows better, on another machine: the run is taken, and its jobs are asked for.
    store = RunStore.open(scene.paths)
    store.take_over(ManagerIdentity.this_process(), force=True)
    store.close(0.0)
    newer = scene.resume()
    wait_until(lambda: scene.how().count("'up'") == 4, 30, scene.how)
    sleeper.signal(signal.SIGCONT)
    assert sleeper.ended(30), scene.how()
    assert sleeper.code not in (0, -signal.SIGKILL)
    scene.manager = newer
    scene.finish()
    assert "Traceback" not in newer.said()
    found = scene.check()
    assert found.bad == []
    assert found.repeated == 0


def _state(pid: int) -> str:
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


def test_an_sshd_that_is_restarted_costs_nothing_but_the_link(make_scene, fresh_lab):
    lab = fresh_lab(hosts=2)
    scene = make_scene(seed=113, lab=lab)
    manager = scene.begin(ledger.mixed(40, 113, pace=2))
    wait_until(lambda: scene.is_there() and len(scene.ledger()) > 8, 30, "jobs to run")
    for host in lab.hosts:
        host.restart_sshd(drop_sessions=True)
    scene.finish()
    assert manager.code in (0, 1)
    found = scene.check()
    assert found.bad == []
    assert found.repeated == 0


def test_what_a_person_deletes_under_running_jobs_is_told_and_nothing_runs_twice_at_once(make_scene, fresh_lab):
    lab = fresh_lab(hosts=2)
    scene = make_scene(seed=114, lab=lab)
    scene.begin(ledger.mixed(30, 114, pace=2))
    wait_until(lambda: scene.is_there() and len(scene.ledger()) > 8, 30, "jobs to run")
    lab.hosts[0].run(["rm", "-rf", f"/home/{lab.hosts[0].user}/.sshjobs"])
    scene.finish()
    found = scene.check()
    # What was deleted cannot come back, so jobs may end otherwise than they would have; but what is told as an end
    # like any other has all of its output.
    assert found.lost + found.doubled + found.unexpected + found.digests == [], found.wrong
