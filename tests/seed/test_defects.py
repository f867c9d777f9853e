"""The twelve defects of glimpse.util.cluster and gjob, each with a test that it did not come along."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from sshjobs import STATE_DONE, STATE_ERROR, Builder, Job, JobSpec, LoggingManager, Manager, Network
from sshjobs.inputs.hostfile import load_hosts


class Collector(Manager):
    """A manager that remembers what it was told."""

    def __init__(self) -> None:
        super().__init__(0.2)
        self.done: dict[str, Job] = {}

    def HandleJobDone(self, job: Job) -> None:
        assert job.name not in self.done, "HandleJobDone twice for one job"
        self.done[job.name] = job


def run_here(tmp_path: Path, builder: Builder, hosts=("localhost",)) -> Collector:
    manager = Collector()
    network = Network(str(tmp_path / "results"), list(hosts), transport="local", slots=2)
    manager.Setup(builder.MakeJobSpecs(), network)
    manager.ProcessJobs()
    return manager


def test_defect_1_a_silent_exit_status_decides(clean_home, tmp_path):
    job = run_here(tmp_path, Builder().AddJob(["exit 3"], name="silent")).done["silent"]
    assert (job.state, job.outcome, job.exit_status) == (STATE_ERROR, "failed", 3)


def test_defect_2_a_warning_on_stderr_is_not_a_failure(clean_home, tmp_path):
    job = run_here(tmp_path, Builder().AddJob(["echo careful >&2"], name="warns")).done["warns"]
    assert (job.state, job.outcome) == (STATE_DONE, "succeeded")


def test_defect_3_states_come_back_in_the_order_they_were_asked_for(clean_home, tmp_path):
    network = Network(str(tmp_path / "results"), ["c1", "c2", "c3"], transport="local", slots=1)
    jobs = [Job(JobSpec([f"exit {n % 2}"]), n, f"job-{n}") for n in range(12)]
    try:
        for n, job in enumerate(jobs):
            network.LaunchJob(job, f"c{n % 3 + 1}")
        while any(state == "busy" for state in network.GetJobStatus(jobs)):
            network.wait(0.2)
        assert network.GetJobStatus(jobs[::-1]) == [STATE_ERROR, STATE_DONE] * 6
        assert network.GetJobStatus(jobs) == [STATE_DONE, STATE_ERROR] * 6
    finally:
        network.close(finished=True)


def test_defect_4_an_error_does_not_stop_the_others(clean_home, tmp_path):
    builder = Builder().AddJob(["exit 1"], name="bad").AddJob(["true"], name="good", repeat=5)
    states = {name: job.state for name, job in run_here(tmp_path, builder).done.items()}
    assert states == {"bad": STATE_ERROR, **{f"good-{n}": STATE_DONE for n in range(1, 6)}}


def test_defect_5_no_two_jobs_share_an_id_or_a_directory(clean_home, tmp_path):
    builder = Builder().AddJob(["pwd"], name="job", repeat=120)
    manager = run_here(tmp_path, builder, ["h1", "h2"])
    assert len({job.id_ for job in manager.done.values()}) == 120
    directories = {manager.network.GetStdout(job) for job in manager.done.values()}
    assert len(directories) == 120


def test_defect_6_paths_and_names_with_spaces_and_quotes_arrive_as_they_are(clean_home, tmp_path):
    odd = tmp_path / "it's a $dir \"x\""
    odd.mkdir()
    (odd / "a b;c").write_text("inside")
    builder = Builder().AddJob(['cat "a b;c"'], files=[str(odd / "a b;c")], name="odd 'name' $HOME")
    manager = run_here(odd, builder)
    (job,) = manager.done.values()
    assert manager.network.GetStdout(job) == "inside"


def test_defect_7_a_host_that_is_down_does_not_end_the_run(clean_home, tmp_path):
    manager = Collector()
    network = Network(str(tmp_path / "results"), ["localhost slots=2", "no-such-host.invalid"])
    manager.Setup(Builder().AddJob(["true"], repeat=6).MakeJobSpecs(), network)
    manager.ProcessJobs()
    assert {job.state for job in manager.done.values()} == {STATE_DONE}
    assert {job.host for job in manager.done.values()} == {"localhost"}


def test_defect_8_a_job_whose_directory_is_gone_keeps_its_known_end(clean_home, tmp_path):
    manager = run_here(tmp_path, Builder().AddJob(["exit 4"], name="gone"))
    job = manager.done["gone"]
    assert not list(clean_home.glob(".sshjobs/*"))
    assert manager.network.GetJobStatus([job]) == [STATE_ERROR]
    assert job.exit_status == 4


def test_defect_9_a_banner_does_not_break_anything(clean_home, tmp_path, lab):
    host = lab.hosts[0]
    (host.home / ".bashrc").write_text("echo 'Welcome! busy done error'; echo noise >&2\n")
    try:
        network = Network(str(tmp_path / "results"), [host.name], ssh_config=str(lab.ssh_config))
        manager = Collector()
        manager.Setup(Builder().AddJob(["echo clean"], name="job").MakeJobSpecs(), network)
        manager.ProcessJobs()
    finally:
        (host.home / ".bashrc").unlink()
    assert manager.done["job"].state == STATE_DONE
    assert network.GetStdout(manager.done["job"]) == "clean\n"
    assert network.GetStderr(manager.done["job"]) == ""


def test_defect_10_blank_and_comment_lines_are_no_hosts(tmp_path):
    path = tmp_path / "hosts.txt"
    path.write_text("\n# the lab\n  \nnode01   # the fast one\n\t\nnode02\n")
    assert [host.name for host in load_hosts(str(path))] == ["node01", "node02"]


def test_defect_11_a_new_manager_finds_what_the_old_one_left_running(clean_home, tmp_path):
    class Dies(Collector):
        def HandleJobDone(self, job: Job) -> None:
            raise KeyboardInterrupt

    builder = Builder().AddJob(["echo $SSHJOBS_JOB >> $LEDGER", "sleep 0.$RANDOM"], name="job", repeat=6,
                               env={"LEDGER": str(tmp_path / "ledger")})
    first = Dies()
    first.Setup(builder.MakeJobSpecs(), Network(str(tmp_path / "results"), ["localhost"], slots=6))
    with pytest.raises(KeyboardInterrupt):
        first.ProcessJobs()
    second = Collector()
    second.Resume(first.paths, Network(str(tmp_path / "results"), ["localhost"], slots=6))
    second.ProcessJobs()
    assert {job.state for job in second.done.values()} == {STATE_DONE}
    assert sorted((tmp_path / "ledger").read_text().split()) == [f"job-{n}" for n in range(1, 7)]


def test_the_log_keeps_the_seeds_words_and_columns(clean_home, tmp_path):
    log = io.StringIO()
    manager = LoggingManager(0.1, log)
    builder = Builder().AddJob(["sleep 0.5"], name="good").AddJob(["exit 2"], name="bad one")
    manager.Setup(builder.MakeJobSpecs(), Network(str(tmp_path / "results"), ["localhost"], slots=1))
    manager.ProcessJobs()
    lines = log.getvalue().splitlines()
    events = [line.split() for line in lines if not line.startswith("WAIT")]
    assert [(words[0], words[2:]) for words in events] == [
        ("LAUNCH", ["w/name", "good", "as", "job", "#0"]), ("DONE", ["w/name", "good", "as", "job", "#0"]),
        ("LAUNCH", ["w/name", r"bad\x20one", "as", "job", "#1"]),
        ("FAILED", ["w/name", r"bad\x20one", "as", "job", "#1"]),
    ]
    waits = [line for line in lines if line.startswith("WAIT")]
    assert waits and all(set(line) == set("WAIT .") for line in waits)


def test_every_verb_and_hook_can_be_overridden(clean_home, tmp_path):
    calls: list[str] = []

    def spy(cls, names):
        def make(name):
            plain = getattr(cls, name)

            def spied(self, *args, **kwargs):
                calls.append(name)
                return plain(self, *args, **kwargs)
            return spied
        return {name: make(name) for name in names}

    manager_verbs = ["Setup", "ProcessJobs", "LaunchJob", "UpdateJobStatus", "HandleJobLaunch", "HandleJobDone",
                     "HandleSleep"]
    network_verbs = ["GetHosts", "LaunchJob", "GetJobStatus", "GetStdout", "GetStderr"]
    spied_manager = type("SpiedManager", (Manager,), spy(Manager, manager_verbs))(0.1)
    spied_network = type("SpiedNetwork", (Network,), spy(Network, network_verbs))(
        str(tmp_path / "results"), ["localhost"], slots=2)
    builder = Builder().AddJob(["sleep 0.4; echo out"], name="job", repeat=3)
    spied_manager.Setup(builder.MakeJobSpecs(), spied_network)
    spied_manager.ProcessJobs()
    job = spied_manager.jobs.objects[0]
    assert spied_network.GetHosts() == ["localhost"]
    assert (spied_network.GetStdout(job), spied_network.GetStderr(job)) == ("out\n", "")
    assert set(calls) == set(manager_verbs) | set(network_verbs)
    assert calls.count("HandleJobLaunch") == calls.count("HandleJobDone") == 3
    assert calls.count("HandleSleep") >= 1


def test_a_manager_without_hosts_is_an_error_and_no_endless_loop(tmp_path):
    from sshjobs import NoHostError
    network = Network(str(tmp_path), [])
    with pytest.raises(NoHostError):
        Collector().Setup([JobSpec(["true"])], network)


def test_a_run_directory_tells_all_by_itself(clean_home, tmp_path):
    manager = run_here(tmp_path, Builder().AddJob(["echo out"], name="job"))
    assert (manager.paths.root / "jobs" / "job" / "stdout").read_text() == "out\n"
    assert (manager.paths.root / "jobs" / "job" / "stderr").read_text() == ""
    assert json.loads(json.dumps({"name": manager.paths.name})) == {"name": "run-1"}
