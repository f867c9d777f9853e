"""``sshjobs cluster``: types from anywhere, and one line for everything that cannot be."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from sshjobs.cli.app import main
from sshjobs.cluster import gearman, probe
from sshjobs.cluster.engine import Call
from sshjobs.cluster.enginecluster import EngineCluster
from sshjobs.cluster.probe import Probed
from sshjobs.cluster.record import Record
from sshjobs.errors import SshjobsError, UsageError
from tests.hints import tries

Told = Callable[..., tuple[int, str, str]]


@pytest.fixture
def told(clean_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Told:
    """Carry a command line out here; return the exit code, standard output and standard error."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in ("GLIMPSE_CLUSTER_TYPE", "GLIMPSE_CLUSTER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["cluster", *words])
        return (code, *capsys.readouterr())

    return call


FIFTH = """
def MakePool(config_file=None, chunksize=None):
    return "a pool"

def RunMain(words=None):
    print("fifth", *words)
    return 7
"""


@pytest.fixture
def fifth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package from outside that brings a fifth type, installed as pip does it."""
    place = tmp_path / "elsewhere"
    (place / "fifth-1.0.dist-info").mkdir(parents=True)
    (place / "fifth_engine.py").write_text(FIFTH)
    (place / "fifth-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: fifth\nVersion: 1.0\n")
    (place / "fifth-1.0.dist-info" / "entry_points.txt").write_text("[sshjobs.cluster]\nfifth = fifth_engine\n")
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.delitem(sys.modules, "fifth_engine", raising=False)


@pytest.mark.parametrize("words", [("-t", "fifth", "Do", "-x", "3"), ("Do", "-x", "3", "-t", "fifth"), ("Do", "-x", "3", "--type=fifth")])
def test_a_type_from_outside_gets_its_commands(told: Told, fifth: None, words: tuple[str, ...]) -> None:
    assert told(*words) == (7, "fifth Do -x 3\n", "")


def test_options_of_ours_go_before_the_command_of_a_type(told: Told, fifth: None) -> None:
    assert told("-t", "fifth", "Do", "a", "-c", "x.ini", "-p", "prof", "-v")[1] == "fifth -c x.ini -p prof -v Do a\n"


@pytest.mark.parametrize("variable", ["SSHJOBS_CLUSTER_TYPE", "GLIMPSE_CLUSTER_TYPE"])
def test_the_environment_names_the_type(told: Told, fifth: None, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "fifth")
    assert told("Do")[1] == "fifth Do\n"


def test_a_configuration_that_is_named_is_not_that_of_the_last_one(told: Told, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    record = Record.create("dask", "mine")
    record.stands()
    assert "'x' is no number of seconds" in told("PingWorkers", "x")[2], "it is that of the one that is up"
    monkeypatch.setenv("SSHJOBS_CLUSTER_CONFIG", str(tmp_path / "c.ini"))
    assert "no type of engine cluster is given; give -t and one of dask" in told("PingWorkers", "x")[2]
    assert "no type of engine cluster is given" not in told("PingWorkers", "x", "--name", "mine")[2]


def test_a_type_from_outside_has_no_up_of_ours(told: Told, fifth: None) -> None:
    assert told("up", "-t", "fifth", "localhost") == (
        2, "", "sshjobs: engine clusters of type fifth cannot be brought up by sshjobs\n")


def test_words_are_never_code(told: Told) -> None:
    code, out, err = told("-t", "zmq", "__import__('os').system('echo evil')")
    assert (code, out) == (2, "")
    assert err.startswith("sshjobs: zmq has no command '__import__") and err.count("\n") == 1


@tries("the types are {}", "give -t and one of {}", "the commands are {}", "see: sshjobs cluster --help",
       "name them, or a hosts file by --hostfile", "write 4GB, 0.5 or auto", "only dask has one; leave it out")
@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("-t", "daks", "PingWorkers"), "no type of engine cluster is called 'daks'; did you mean dask?"),
        (("-t", "slurm", "PingWorkers"), "no type of engine cluster is called 'slurm'; the types are dask, "),
        (("PingWorkers",), "no type of engine cluster is given; give -t and one of dask, "),
        (("PingWorkers", "-c", "x.ini"), "no type of engine cluster is given; give -t and one of dask, "),
        (("-t", "dask", "PingWorker"), "dask has no command 'PingWorker'; did you mean PingWorkers?"),
        (("-t", "dask", "Xyzzy"), "dask has no command 'Xyzzy'; the commands are LaunchScheduler, LaunchWorker, "),
        (("-t", "zmq", "LaunchScheduler"), "zmq has no command 'LaunchScheduler'"),
        (("-t", "dask", "PingWorkers", "-c"), "-c needs a value; see: sshjobs cluster --help"),
        (("-t", "gearman", "PingWorkers", "1", "2"), "PingWorkers takes at most 1 argument: got '1 2'"),
        (("-t", "gearman", "KillWorkers", "x"), "KillWorkers takes no argument: got 'x'"),
        (("-t", "zmq", "FlushCluster", "-c", "none.ini"), "none.ini: the cluster's configuration cannot be read: No such file"),
        (("-t", "gearman", "LaunchBroker"), "no engine cluster of type gearman is known; name its configuration with -c FILE"),
        (("up", "-t", "dask"), "no hosts are named; name them, or a hosts file by --hostfile"),
        (("up", "-t", "dask", "--hostfile", "none.txt"), "none.txt"),
        # A host may be called so; a file that is not there is none.
        (("up", "-t", "dask", "--hostfile", "nofile"), "invalid value for '--hostfile': File 'nofile' does not exist"),
        (("up", "-t", "dask", "--memory-limit", "rubbish", "localhost"), "dask cannot limit memory to 'rubbish'; write 4GB, 0.5 or auto"),
        (("up", "-t", "dask", "--memory-limit", "-1", "localhost"), "dask cannot limit memory to '-1'; write 4GB, 0.5 or auto"),
        (("up", "-t", "zmq", "--memory-limit", "4GB", "localhost"), "zmq has no limit for the memory of a worker; only dask has one; leave it out"),
        (("up", "-t", "dask", "--nworkers", "0", "localhost"), "invalid value for '--nworkers'"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(told: Told, words: tuple[str, ...], line: str) -> None:
    code, out, err = told(*words)
    assert (code, out) == (2, "")
    assert line in err
    assert err.count("\n") == 1 and "Traceback" not in err
    assert told("--help")[0] == 0


@pytest.mark.parametrize("seconds", ["x", "0", "-1", "inf", "nan", "4000"])
def test_ping_takes_seconds(told: Told, tmp_path: Path, seconds: str) -> None:
    (tmp_path / "c.ini").write_text("[client]\nscheduler_url = tcp://127.0.0.1:1\n")
    code, out, err = told("-t", "dask", "-c", "c.ini", "PingWorkers", seconds)
    assert (code, out) == (2, "") and f"'{seconds}' is no number of seconds" in err


@tries("bring one up: sshjobs cluster up -t TYPE HOST…")
@pytest.mark.parametrize("words", [("status",), ("down",), ("scale", "3"), ("down", "--name", "x"), ("down", "--name", "../x")])
def test_nothing_is_up(told: Told, words: tuple[str, ...]) -> None:
    code, out, err = told(*words)
    assert (code, out) == (2, "")
    assert "is up; bring one up: sshjobs cluster up -t TYPE HOST" in err


@tries("first: sshjobs cluster down --name {}", "use letters, digits, _ and -")
def test_names_of_engine_clusters(told: Told) -> None:
    Record.create("dask", "mine").save()
    with pytest.raises(UsageError, match="'mine' is up, or was not taken down; first: sshjobs cluster down --name mine"):
        Record.create("dask", "mine")
    with pytest.raises(UsageError, match="no engine cluster can be called '../x'; use letters, digits, _ and -"):
        Record.create("dask", "../x")
    assert told("down", "--name", "mine")[0] == 0
    assert Record.create("dask", "mine").name == "mine"
    assert Record.create("dask", None).name == "dask"
    assert Record.create("dask", None).name == "dask-2"
    assert told("down", "--name", "dask-2")[0] == 0, "one that was killed before it had anything"


def test_a_cluster_whose_run_was_removed_is_told_of_once(told: Told, tmp_path: Path) -> None:
    record = Record.create("dask", "mine")
    record.run, record.hosts = str(tmp_path / "gone"), ["node01", "node02"]
    record.save()
    code, out, err = told("down", "--name", "mine")
    assert (code, out) == (1, "")
    assert "was removed, so nobody can tell what runs on its hosts: they are node01, node02" in err
    assert told("down", "--name", "mine")[0] == 2


@tries("pip install 'sshjobs[{}]'")
def test_an_extra_that_is_missing_is_told_with_its_command(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sshjobs.cluster.engine.find_spec", lambda name: None if name == "gear" else find_spec(name))
    code, _, err = told("-t", "gearman", "PingWorkers")
    assert (code, err) == (1, "sshjobs: engine clusters of type gearman need gear, not installed here; pip install 'sshjobs[gearman]'\n")
    monkeypatch.undo()
    monkeypatch.setenv("XDG_STATE_HOME", "/nonexistent")
    assert "is known" in told("-t", "gearman", "PingWorkers")[2]


@tries("on Debian: apt-get install gearman-job-server")
def test_a_gearmand_that_is_missing_is_told_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gearman._gearmand().endswith("gearmand")
    monkeypatch.setattr("shutil.which", lambda *args, **more: None)
    with pytest.raises(SshjobsError, match="gearmand is not installed; on Debian: apt-get install gearman-job-server"):
        gearman._gearmand()


def test_a_call_is_understood_wherever_its_options_stand() -> None:
    wanted = Call("LaunchWorker", ["tcp://h:1", "--nthreads", "2"], "c.ini", "prof", "mine", True, True)
    words = ["--json", "-v", "-c", "c.ini", "LaunchWorker", "tcp://h:1", "-p", "prof", "--nthreads", "2", "--name=mine"]
    assert Call.parse(words) == wanted
    with pytest.raises(UsageError, match="no command is given"):
        Call.parse(["-v"])


@tries("bring it up first: up()")
def test_what_is_not_up_has_no_address() -> None:
    cluster = EngineCluster("dask", ["localhost"])
    with pytest.raises(SshjobsError, match="the engine cluster is not up; bring it up first"):
        cluster.address  # noqa: B018
    assert repr(cluster) == "EngineCluster('dask', not up)"


@pytest.mark.parametrize("more", [{"nworkers": 0}, {"nworkers": "2"}, {"nthreads": 0}, {"log_directory": 3}, {"hosts": 5}])
def test_options_of_an_engine_cluster_are_checked(more: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        EngineCluster("dask", **{"hosts": ["localhost"], **more})


OURS = "{}.{}".format(*sys.version_info[:2])


@pytest.mark.parametrize(
    ("probed", "reason"),
    [
        (Probed(OURS, (), (1,), 4, None, None), None),
        (Probed("3.6", ("gear",), (1,), 4, None, None), f"python3 there is Python 3.6, and functions from here need {OURS}; name one by --remote-python"),
        (Probed(OURS, ("gear", "zmq"), (1,), 4, None, None), "gear and pyzmq is not installed for python3; there: python3 -m pip install gear pyzmq"),
    ],
)
def test_a_host_that_does_not_fit_is_told_why(probed: Probed, reason: str | None) -> None:
    found = probe.unfit(probed, "python3", gearman.Gearman.libraries)
    assert found is None if reason is None else found is not None and found.startswith(reason)


@pytest.mark.parametrize("text", ["", "{}", "[]", "x", '{"python": "3.11", "missing": [], "ports": ["x"], "connection": "", "cores": 1}',
                                  '{"python": "3.11", "missing": [], "ports": [], "connection": "; rm -rf / ;", "cores": 1}',
                                  '{"python": "3.11", "missing": 1, "ports": [], "connection": "", "cores": 1}', "[" * 100_000])
def test_what_a_host_says_is_checked(text: str) -> None:
    assert Probed.read(text) is None


def test_addresses_come_from_the_connection_of_ssh() -> None:
    told = Probed.read('noise\n{"python": "3.11", "missing": [], "ports": [5], "connection": "10.0.0.1 40052 10.0.0.2 22", "cores": 2}\n')
    assert told == Probed("3.11", (), (5,), 2, "10.0.0.2", "10.0.0.1")
