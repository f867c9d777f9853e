"""Hints about the command line, jobfiles and hosts: what leads to each, and that what it says is then accepted."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sshjobs.errors import SshjobsError, UsageError
from sshjobs.inputs import arguments, jobnames, timespans
from sshjobs.inputs.builder import Builder
from sshjobs.inputs.clusterfile import clusters_from, hosts_of_clusters, load_clusterfile
from sshjobs.inputs.hostfile import load_hosts
from sshjobs.model.host import Host
from sshjobs.model.spec import JobSpec
from sshjobs.network.helpers import CheckLocalCommand, CheckRemoteCommands, CopyLocalFilesToRemoteHost
from sshjobs.network.payload import remote_command
from sshjobs.network.staging.digests import Digests
from sshjobs.network.staging.inputs import Staging
from sshjobs.network.transport import make_transport
from sshjobs.running.forms import jobs_from
from sshjobs.running.newrun import new_run
from sshjobs.store.ownership import check_own
from sshjobs.store.rundir import RunPaths, find_run, job_directory_name
from tests.conftest import cli_environment, sshjobs_argv
from tests.hints import Row, matches
from tests.hints.acts import cli, dry, run_all


def fed(*words: str) -> None:
    """Carry out a command line in a process of its own, with something on its standard input."""
    told = subprocess.run(sshjobs_argv(words), env={**os.environ, **cli_environment()}, input="fed\n", capture_output=True,
                          text=True, timeout=60, check=False)
    if told.returncode != 0:
        raise UsageError(told.stderr)


def cluster(text: str) -> Callable[[], object]:
    """Return what reads a cluster file."""
    def act() -> object:
        Path("cluster").write_text(text)
        return load_clusterfile("cluster")
    return act


def hosts(text: str) -> Callable[[], object]:
    """Return what reads a list of hosts."""
    return lambda: load_hosts(text)


def lines(text: str) -> Callable[[], object]:
    """Return what reads a hosts file."""
    def act() -> object:
        Path("hosts.txt").write_text(text)
        return load_hosts("hosts.txt")
    return act


ROWS = [
    # -- exec
    Row("use letters, digits and _, and begin with a letter", lambda: JobSpec("x", params={"learning-rate": "1"}),
        lambda: JobSpec("x", params={"learning_rate": "1"})),
    Row("write: sshjobs exec -- COMMAND ::: VALUE…; where the values are commands: sshjobs exec -- bash -c {} < FILE",
        dry(":::", "a"), dry("--", "echo", ":::", "a")),
    Row("leave one out", dry("-k", "--output", "line", "echo", ":::", "a"), dry("-k", "echo", ":::", "a")),
    Row("write --header :", dry("--header", "x", "echo", ":::", "a"), dry("--header", ":", "echo", ":::", "a", "b")),
    Row("write --env {}=VALUE", dry("--env", "NOT_HERE", "echo", ":::", "a"),
        dry("--env", "NOT_HERE=VALUE", "echo", ":::", "a")),
    Row("leave out --output, or --json", dry("--json", "--output", "line", "echo", ":::", "a"),
        dry("--json", "echo", ":::", "a")),
    Row("say --output too", dry("--tag", "--output", "none", "echo", ":::", "a"),
        dry("--tag", "--output", "grouped", "echo", ":::", "a")),
    Row("begin with {}", dry("echo", ":::+", "a"), dry("echo", ":::", "a")),
    Row("name - once", dry("echo", "::::", "-", "-"), dry("echo", "::::", "names")),
    Row("name the values after :::, or in a file after ::::", dry("--stdin", "-", "echo", "{}"),
        dry("--stdin", "-", "echo", "{}", "::::", "names")),
    Row("paired sources need as many values as each other", dry("echo", ":::", "a", "b", ":::+", "1"),
        dry("echo", ":::", "a", "b", ":::+", "1", "2")),
    Row("write (?:…) instead of (…)", dry("--colsep", "(,)", "echo", ":::", "a"),
        dry("--colsep", "(?:,)", "echo", ":::", "a")),
    Row("write --csv --colsep ';', or leave one out", dry("--csv", "--colsep", ";;", "echo", ":::", "a"),
        dry("--csv", "--colsep", ";", "echo", ":::", "a")),
    Row("rename one, or leave out --header", dry("--csv", "--header", ":", "echo", ":::", "a,a", "1,2"),
        dry("--csv", "--header", ":", "echo", ":::", "a,b", "1,2")),
    Row('a column with " in it is written "…""…"', dry("--csv", "echo", ":::", '"a"b,1'),
        dry("--csv", "echo", ":::", '"a""b",1')),
    Row("complete the row, or see how --colsep splits it", dry("--colsep", ",", "echo {2}", ":::", "a"),
        dry("--colsep", ",", "echo {2}", ":::", "a,b")),
    Row("use -0 if NUL bytes separate the values", dry("echo", "::::", "nul"), dry("-0", "echo", "::::", "nul")),
    Row("values count from 1", dry("echo {0}", ":::", "a"), dry("echo {1}", ":::", "a")),
    Row("add a source, or write \\{} for the text itself", dry("echo {2}", ":::", "a"),
        dry("echo {1} \\{2}", ":::", "a")),
    Row("write {} where values go", dry("echo # x", ":::", "a"), dry("echo {} # x", ":::", "a")),
    Row("put it into a variable first: value={}", dry("echo ${x:-{}}", ":::", "a"),
        dry("value={}; echo ${x:-$value}", ":::", "a")),
    Row("write the whole command as one word, in quotes", dry("echo", "{%}", ":::", "a"), dry("echo {%}", ":::", "a")),
    Row("check the values, or compare texts: [[ {} == 1 ]]", dry("[[ {} -eq 1 ]]", ":::", "a"),
        dry("[[ {} == 1 ]]", ":::", "a")),
    Row("the job has it as $SSHJOBS_SLOT", dry("--cwd", "/{%}", "pwd", ":::", "a"),
        dry("cd /tmp/$SSHJOBS_SLOT; : {}", ":::", "a")),
    Row("take the empty value out", dry("--cwd", "{}", "pwd", ":::", ""), dry("--cwd", "{}", "pwd", ":::", "/")),
    Row("rename one", dry("--send", "hostname", "--send", "/etc/hostname", "echo", ":::", "a"),
        dry("--send", "names", "--send", "other/more", "echo", ":::", "a")),
    Row("use a file", dry("--env", "X={}", "true", "::::", "long"), dry("--send", "long", "true; : {}", ":::", "a")),
    Row("write --send {}", dry("./names", ":::", "a"), dry("--send", "names", "./names", ":::", "a")),
    Row("leave out fewer", dry("--hosts", "h1,h2", "-x", "h*", "echo", ":::", "a"),
        dry("--hosts", "h1,h2", "-x", "h1", "echo", ":::", "a")),
    Row("write --hosts @NAME, and further hosts behind a comma", dry("--hosts", "@;", "echo", ":::", "a"),
        dry("--hosts", "tagged", "--hosts", "@quick,h1", "echo", ":::", "a")),
    Row("name the hosts file with the tag too: --hosts FILE --hosts {}", dry("--hosts", "@quick", "echo", ":::", "a"),
        dry("--hosts", "tagged", "--hosts", "@quick", "echo", ":::", "a")),
    Row("leave it out", dry("--direct", "echo", ":::", "a"), dry("echo", ":::", "a")),
    Row("choose another --name", dry("--name", "taken", "echo", ":::", "a"),
        dry("--name", "other", "echo", ":::", "a")),
    Row("choose another --results", dry("--results", "names", "echo", ":::", "a"),
        dry("--results", "elsewhere", "echo", ":::", "a")),
    Row("correct --ssh-config", dry("--ssh-config", "absent", "echo", ":::", "a"),
        dry("--ssh-config", "names", "echo", ":::", "a")),
    Row("begin with a letter or digit; then letters, digits and . + = , @ - _", dry("--name", "-x", "echo", ":::", "a"),
        dry("--name", "x-1.2+a=b,c@d_e", "echo", ":::", "a")),
    Row("leave it out for as many as a host has cores", dry("-j", "200%", "echo", ":::", "a"), dry("echo", ":::", "a")),
    # -- other commands
    Row("write: sshjobs add -- COMMAND", cli("add", "--", ""), cli("add", "finished", "--", "true")),
    Row("see: sshjobs add --help", cli("add"), cli("add", "--help")),
    Row("for all of run {}: sshjobs cancel {} --all", cli("cancel", "finished"), cli("cancel", "finished", "--all")),
    Row("for all that failed: sshjobs retry {} --failed", cli("retry", "taken"), cli("retry", "taken", "--failed")),
    Row("name a hosts file, or hosts: --hosts h1,node[01-16]", cli("hosts", "check"),
        cli("hosts", "check", "--hosts", "localhost")),
    Row("write: sshjobs hosts set HOST slots=4", cli("hosts", "set", "a"),
        cli("hosts", "set", "taken", "a", "slots=4")),
    Row("use 1 to {}", cli("hosts", "set", "a", "slots=0"), cli("hosts", "set", "taken", "a", "slots=1")),
    Row("write: sshjobs hosts drain {} HOST", cli("hosts", "drain", "taken"), cli("hosts", "drain", "taken", "a")),
    Row("either --seconds MEAN[±SD], --like RUN or --durations FILE", cli("simulate", "jobs.yaml", "--hosts", "h1"),
        cli("simulate", "jobs.yaml", "--hosts", "h1", "--seconds", "1")),
    Row("name a JOBFILE, or the jobs of a trace: --durations FILE", cli("simulate", "--hosts", "h1", "--seconds", "1"),
        cli("simulate", "jobs.yaml", "--hosts", "h1", "--seconds", "1")),
    Row("write HOST=FACTOR, a number from 0.001 to 1000: gpu1=0.5",
        cli("simulate", "jobs.yaml", "--hosts", "gpu1", "--seconds", "1", "--speed", "gpu1"),
        cli("simulate", "jobs.yaml", "--hosts", "gpu1", "--seconds", "1", "--speed", "gpu1=0.5")),
    Row("write how many more of which host, at most {}: 2x{}",
        cli("simulate", "jobs.yaml", "--hosts", "h1", "--seconds", "1", "--add", "h1"),
        cli("simulate", "jobs.yaml", "--hosts", "h1", "--seconds", "1", "--add", "2xh1")),
    Row("name one of these with --hosts, too", cli("simulate", "gpu.yaml", "--hosts", "h1", "--seconds", "1"),
        cli("simulate", "gpu.yaml", "--hosts", "h1,gpu1", "--seconds", "1")),
    Row("write 30, or 30±5", cli("simulate", "jobs.yaml", "--hosts", "h1", "--seconds", "x"),
        cli("simulate", "jobs.yaml", "--hosts", "h1", "--seconds", "30±5")),
    Row("name another run, or use --seconds", cli("simulate", "jobs.yaml", "--hosts", "h1", "--like", "free"),
        cli("simulate", "jobs.yaml", "--hosts", "h1", "--like", "finished")),
    Row("write: sshjobs withdraw {} JOB", cli("withdraw", "free"), cli("withdraw", "free", "sim-1")),
    Row("write: sshjobs logs {} JOB", cli("logs", "finished"), cli("logs", "finished", "sim-1")),
    Row("for the run write {}, for the {} {} {}", cli("logs", "sim-1"), cli("logs", "results/free", "sim-1")),
    Row("leave out --output, or -d", cli("run", "jobs.yaml", "-d", "--output", "line"),
        cli("run", "jobs.yaml", "--dry-run", "--output", "line")),
    Row("end them: sshjobs cancel {} --all; or: sshjobs rm --force {}", cli("rm", "busy"),
        cli("rm", "--force", "busy")),
    Row("to remove it all the same: sshjobs rm --force {}", cli("rm", "broken"), cli("rm", "--force", "broken")),
    Row("start one with `sshjobs run`, or point --results to where they are", lambda: find_run(Path("nowhere")),
        lambda: find_run(Path("results"))),
    Row("see: sshjobs hosts check", dry("--hosts", "h1,h2", "-x", "h3", "echo", ":::", "a"),
        cli("hosts", "check", "--hosts", "localhost")),
    Row("--stdin - gives it to each job, < /dev/null leaves it out", lambda: fed("exec", "--dry-run", "echo", ":::", "a"),
        lambda: fed("exec", "--dry-run", "--stdin", "-", "echo", ":::", "a")),
    Row("use fewer values, or more runs", lambda: arguments.Arguments(arguments.split_words(
        ["x"] + [":::", *map(str, range(300))] * 3)[1]), lambda: arguments.Arguments([arguments.Source(["a"] * 300)])),
    Row("put text into files and name those", lambda: list(arguments.Arguments([arguments.Source(file="endless")]).rows()),
        dry("--send", "endless", "wc", "-c", ":::", "endless")),
    Row("first: sshjobs cancel {} {}", cli("withdraw", "busy", "sim-1"), cli("cancel", "free", "sim-1")),
    Row("to use it again after a drain: sshjobs hosts undrain", cli("hosts", "add", "free", "a"),
        cli("hosts", "undrain", "free", "a")),
    Row("they are {}", cli("hosts", "drain", "free", "zzz"), cli("hosts", "drain", "free", "a")),
    Row("the hosts are {}", lambda: new_run([JobSpec("a", name="x", hosts=["z"])], [Host("a")], Path("results")).store.close(),
        lambda: new_run([JobSpec("a", name="x", hosts=["a"])], [Host("a")], Path("results")).store.close()),
    Row("lower its needs, or name a host that has more",
        lambda: new_run([JobSpec("a", name="x", cpus=4)], [Host("a", slots=2)], Path("results")).store.close(),
        lambda: new_run([JobSpec("a", name="x", cpus=4)], [Host("a", slots=4)], Path("results")).store.close()),
    Row("name at least one", lambda: new_run([JobSpec("a", name="x")], [], Path("results")),
        lambda: new_run([JobSpec("a", name="x")], [Host("a")], Path("results")).store.close()),
    Row("add another one first, or cancel the run", cli("hosts", "remove", "free", "a", "b"),
        lambda: [cli("hosts", "add", "free", "c")(), cli("hosts", "remove", "free", "a", "b")()]),
    Row("put what it leads to in its place", lambda: check_own(RunPaths(Path("results"), "linked")),
        lambda: run_all(lambda: os.replace("results/linked/moved", "results/linked/run.db"),
                        lambda: check_own(RunPaths(Path("results"), "linked")))),
    Row("see whether all in it is yours, then: chmod go-w {}", lambda: check_own(RunPaths(Path("results"), "open")),
        lambda: run_all(lambda: os.chmod("results/open", 0o755), lambda: check_own(RunPaths(Path("results"), "open")))),
    Row("see: sshjobs status {} --all", cli("logs", "finished", "zzz"), cli("status", "finished", "--all")),
    Row("did you mean {}?", cli("status", "finishd"), cli("status", "finished")),
    Row("choose another place with --results", cli("run", "jobs.yaml", "--results", "names"),
        cli("run", "jobs.yaml", "--results", "elsewhere")),
    Row("leave it out of files", lambda: Digests().of(Path("pipe")), lambda: Digests().of(Path("names"))),
    Row("take it out of the directory, then: sshjobs retry --failed",
        lambda: Staging(Digests()).manifest(JobSpec("a", files=["piped"], base_dir=Path.cwd())),
        lambda: run_all(lambda: os.unlink("piped/pipe"),
                        lambda: Staging(Digests()).manifest(JobSpec("a", files=["piped"], base_dir=Path.cwd())))),
    Row("use {}", lambda: JobSpec("a", output="x"), lambda: [JobSpec("a", output="file"), JobSpec("a", output="pipe")]),
    # -- the seed's helpers
    Row("it takes verbose and timeout", lambda: CopyLocalFilesToRemoteHost("h1", "/tmp", zzz=1),
        lambda: CheckLocalCommand(["true"], verbose=False, timeout=9)),
    Row("send a file and run that", lambda: CheckRemoteCommands("h1", ["x" * 10_000_000]),
        lambda: Builder().AddJob("bash long", files=["long"])),
    Row("see that {} is installed", lambda: CheckLocalCommand(["no-such-program"]),
        lambda: CheckLocalCommand(["true"])),
    Row("give it a longer timeout", lambda: CheckLocalCommand(["sleep", "1"], timeout=0.01),
        lambda: CheckLocalCommand(["sleep", "0.1"], timeout=30)),
    Row("write ['ls', '-l']", lambda: CheckLocalCommand("ls -l"),
        lambda: CheckLocalCommand(["ls", "-l"])),
    Row("write [user@]host[:port] and nothing else", lambda: make_transport("fabric", connect_kwargs={"gateway": "h1 slots=1"}),
        lambda: make_transport("fabric", connect_kwargs={"gateway": "user@h1:22"})),
    Row("name a path without other characters", lambda: remote_command("a b"),
        lambda: remote_command("/opt/bin/python3.11")),
    # -- hosts
    Row("write ['h1', 'h2']", lambda: load_hosts([1]), lambda: load_hosts(["h1", "h2"])),  # type: ignore[list-item]
    Row("write [user@]host[:port]", hosts(":22"), hosts("user@host:22")),
    Row("give the host an alias in ssh_config", hosts("-h1"), hosts("alias")),
    Row("letters, digits, '.', '_' and '-' are allowed", lines("h1 a;b\n"), lines("h1 a.b_c-9\n")),
    Row("letters, digits, '.', '_' and '-' are allowed, not '.' first", hosts("h1,.h2"), hosts("h1,h2")),
    Row("a group is named on the command line: --hosts @NAME", lines("@quick\n"),
        dry("--hosts", "tagged", "--hosts", "@quick", "echo", ":::", "a")),
    Row("write [fe80::1%eth0]", hosts("[fe80::1%]"), hosts("[fe80::1%eth0]")),
    Row("write [fe80::1]:22", hosts("[fe80::1"), hosts("[fe80::1]:22")),
    Row("IPv6 goes in brackets: [fe80::1]:22", hosts("fe80::1"), hosts("[fe80::1]:22")),
    Row("write python3.11 or /opt/bin/python3", hosts("h1 python=a;b"), hosts("h1 python=/opt/bin/python3")),
    Row("write the whole path", hosts("h1 python=bin/python3"), hosts("h1 python=/opt/bin/python3")),
    Row("keep one of them", hosts("h1 slots=1 slots=2"), hosts("h1 slots=1")),
    Row("write 10.0.0.{1,2} or node{1..4}", hosts("h{1"),
        lambda: [load_hosts("10.0.0.{1,2}"), load_hosts("node{1..4}")]),
    Row("write {1,2} or {1..4}", hosts("h{1}"), lambda: [load_hosts("h{1,2}"), load_hosts("h{1..4}")]),
    Row("write node[01-16]; IPv6 is [fe80::1]", hosts("node[01"),
        lambda: [load_hosts("node[01-16]"), load_hosts("[fe80::1]")]),
    Row("write [01-16], [1,4] or [0-8/2]", hosts("n[a]"),
        lambda: [load_hosts("n[01-16]"), load_hosts("n[1,4]"), load_hosts("n[0-8/2]")]),
    Row("write the smaller number first", hosts("n[4-1]"), hosts("n[1-4]")),
    Row("check its ranges", hosts("n[1-100000]"), hosts("n[1-100]")),
    Row("name one", cluster("g1,g2\nw1\n"), cluster("g1\nw1\n")),
    Row("name it among its workers too if it shall", cluster("g1 slots=2\nw1\n"), cluster("g1\ng1 slots=2\nw1\n")),
    Row("give a list of hosts", lambda: clusters_from({"g": "w"}), lambda: clusters_from({"g": ["w"]})),
    Row("name it once", lambda: hosts_of_clusters(clusters_from({"g": ["w"], "h": ["w"]})),
        lambda: hosts_of_clusters(clusters_from({"g": ["w"], "h": ["v"]}))),
    Row("give the worker the name that the management host has for it",
        lambda: hosts_of_clusters(clusters_from({"g": ["localhost"]})), lambda: hosts_of_clusters(clusters_from({"g": ["w1"]}))),
    # -- jobs
    Row("give it at least one letter or digit", lambda: jobnames.check_name(" "), lambda: jobnames.check_name("a")),
    Row("take it out", lambda: jobnames.check_name("a\u200bb"), lambda: jobnames.check_name("ab")),
    Row("use '-' or '_' instead", lambda: jobnames.check_name("a/b"),
        lambda: run_all(lambda: jobnames.check_name("a-b"), lambda: jobnames.check_name("a_b"))),
    Row("begin with a letter or digit", lambda: jobnames.check_name(".a"), lambda: jobnames.check_name("a")),
    Row("make it shorter", lambda: jobnames.check_name("x" * 201), lambda: jobnames.check_name("x" * 200)),
    Row("use 1 to {} bytes without / and control characters", lambda: job_directory_name("a/b"),
        lambda: job_directory_name("ab")),
    Row("make it shorter: {} bytes, with the host's name where each host has the job",
        lambda: job_directory_name("x" * 241),
        lambda: job_directory_name("x" * 240)),
    Row("put text into files", lambda: Builder().AddJob("x" * 1_000_000),
        lambda: Builder().AddJob("bash long", files=["long"])),
    Row("lower repeat", lambda: [Builder().AddJob("a", repeat=1_000_000).AddJob("b")],
        lambda: Builder().AddJob("a", repeat=999_999).AddJob("b")),
    Row("leave it out for no limit", lambda: timespans.parse_duration("99999d"), lambda: Builder().AddJob("a")),
    Row("write seconds (90) or units (1s, 2h30m, 1d)", lambda: timespans.parse_duration("soon"),
        lambda: [timespans.parse_duration(text) for text in ("90", "1s", "2h30m", "1d")]),
    Row("use {}", lambda: JobSpec("a", leftovers="x"),
        lambda: [JobSpec("a", leftovers="kill"), JobSpec("a", leftovers="keep")]),
    Row("give commands (lines of a script) or argv (words)", lambda: JobSpec(),
        lambda: [JobSpec(["a", "b"]), JobSpec(argv=["a", "b"])]),
    Row("it has {}", lambda: JobSpec.from_dict({"zzz": 1}), lambda: JobSpec.from_dict({"cmds": ["a"]})),
    Row("put it into a list", lambda: jobs_from(JobSpec("a")),  # type: ignore[arg-type]
        lambda: jobs_from([JobSpec("a")])),
    Row("give the path of a jobfile, a Builder, or [JobSpec('echo hi')]",
        lambda: jobs_from([1]),  # type: ignore[list-item]
        lambda: [jobs_from("jobs.yaml"), jobs_from(Builder().AddJob("a")), jobs_from([JobSpec("echo hi")])]),
    Row("use {}", lambda: make_transport("x"), lambda: [make_transport(name) for name in ("openssh", "local")]),
    Row("use transport='fabric'", lambda: make_transport("local", connect_kwargs={"password": "x"}),
        lambda: make_transport("fabric", connect_kwargs={"password": "x"})),
    Row("there are {}", lambda: make_transport("fabric", connect_kwargs={"zzz": 1}),
        lambda: make_transport("fabric", connect_kwargs={"password": "x"})),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.hint[:60])
def test_what_a_hint_says_is_accepted(row: Row, place: Path) -> None:
    with pytest.raises(SshjobsError) as error:
        row.wrong()
    assert matches(row.hint, str(error.value)), error.value
    row.right()
