"""``slurm:`` words among hosts: what they ask for, and every mistake with its place."""

from __future__ import annotations

import subprocess

import pytest

from sshjobs.errors import EXIT_USAGE, InputError
from sshjobs.inputs.hostchoice import choose_hosts
from sshjobs.inputs.hostfile import load_hosts
from sshjobs.model.allocation import allocation_of, in_batches, node_of, renumbered
from sshjobs.model.host import Host
from tests.hints import tries


def test_what_belongs_to_a_word_ends_with_the_first_item_without_an_equals_sign() -> None:
    hosts = load_hosts("lab1,slurm:partition=gpu,nodes=2,time=2h slots=8,lab2 slots=3,slurm:,slurm:login=me@c:22,lab3")
    assert [host.name for host in hosts] == ["lab1", "slurm1-1", "slurm1-2", "lab2", "slurm2-1", "slurm3-1", "lab3"]
    assert hosts[1].slurm == hosts[2].slurm == (("partition", "gpu"), ("nodes", "2"), ("time", "7200"))
    assert (hosts[1].slots, hosts[3].slots, hosts[0].slurm, hosts[4].slurm) == (8, 3, (), (("nodes", "1"),))
    assert dict(hosts[5].slurm)["login"] == "me@c:22"


def test_a_line_of_a_hosts_file_may_be_one(tmp_path) -> None:
    (tmp_path / "hosts.txt").write_text("lab1\nslurm:nodes=2,gres=gpu:a100:1 slots=4 gpu python=/opt/python3  # big\n")
    lab, one, two = load_hosts(str(tmp_path / "hosts.txt"))
    assert (one.name, one.slots, one.tags, one.python, dict(one.slurm)["gres"]) == (
        "slurm1-1", 4, ("gpu",), "/opt/python3", "gpu:a100:1")
    assert (allocation_of(two), node_of(two), lab.slurm) == ("slurm1", 1, ())


def test_allocations_of_several_lists_are_several() -> None:
    assert [host.name for host in choose_hosts(["slurm:nodes=2,lab1", "slurm:", "slurm:,slurm:"])] == [
        "slurm1-1", "slurm1-2", "lab1", "slurm2-1", "slurm3-1", "slurm4-1"]
    named = renumbered(load_hosts("slurm:nodes=2"), {"slurm7-1", "gpu1"})
    assert [host.name for host in named] == ["slurm8-1", "slurm8-2"]
    assert Host.from_dict({**vars(named[0]), "slurm": [list(pair) for pair in named[0].slurm]}) == named[0]


@pytest.mark.parametrize("text, seconds", [("2h", 7200), ("90m", 5400), ("1-12:00:00", 129600), ("02:30:00", 9000), ("1d", 86400)])
def test_time_is_written_as_elsewhere_or_as_slurm_writes_it(text: str, seconds: int) -> None:
    assert dict(load_hosts(f"slurm:time={text}")[0].slurm)["time"] == str(seconds)


@pytest.mark.parametrize("word, column, said", [
    ("slurm:partion=gpu", 7, "'partion' is nothing that slurm: knows; did you mean partition=?"),
    ("slurm:gpu", 7, "'gpu' is nothing that slurm: knows; there are partition=, nodes=, "),
    ("slurm:nodes=0", 7, "nodes must be a number from 1 to 1000, got '0'"),
    ("slurm:nodes=1001", 7, "nodes must be a number from 1 to 1000, got '1001'"),
    ("slurm:time=5", 7, "time= must be from a minute to a year, got '5'"),
    ("slurm:time=soon", 7, "is not a duration"),
    ("slurm:nodes=1,nodes=2", 15, "nodes= is given twice"),
    ("slurm:partition=", 7, "partition= cannot be ''"),
    ("lab1,slurm:qos=a,account=-x", 18, "account= cannot be '-x'"),
    ("slurm: sluts=3", 8, "unknown option 'sluts='; did you mean slots=?"),
])
def test_a_mistake_is_told_with_its_place(word: str, column: int, said: str) -> None:
    with pytest.raises(InputError) as caught:
        load_hosts(word)
    assert caught.value.exit_code == EXIT_USAGE
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"hosts:1:{column}: ") and said in line


@pytest.mark.parametrize("key", ["partition", "login", "account", "qos", "constraint", "gres", "time", "nodes"])
@pytest.mark.parametrize("value", [
    "-oProxyCommand=x", "--wrap=x", "a;b", "$(id)", "`id`", "a'b", 'a"b', "a\\b", "a!b", "~root", "a\x1bb", "a\u202eb", "é", "x" * 300,
    "../x", "/etc/passwd", "%h", "a>b", "{a}", "a#b", "#", "a^b", "*", "-"])
def test_a_hostile_value_is_refused_and_starts_nothing(key: str, value: str, mocker) -> None:
    started = mocker.patch.object(subprocess, "Popen")
    with pytest.raises(InputError) as caught:
        load_hosts([f"slurm:{key}={value}"])
    assert not any(letter < " " for letter in str(caught.value).replace("\n", ""))
    assert not started.called


@tries("write mode=array, or leave it out for an allocation")
def test_a_mode_is_array_or_none() -> None:
    with pytest.raises(InputError, match="leave it out for an allocation"):
        load_hosts("slurm:mode=batch")
    assert in_batches(load_hosts("slurm:mode=array")[0]) and not in_batches(load_hosts("slurm:")[0])
    with pytest.raises(InputError, match="each job has a node by itself"):
        load_hosts("slurm:nodes=2,mode=array")


@tries("write batch:pbs.toml", "write batch:FILE,login=HOST")
def test_a_scheduler_of_ones_own_is_a_file_of_commands(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pbs.toml").write_text("submit = 'qsub $SSHJOBS_SCRIPT'\nask = 'qselect'\nend = 'qdel ${SSHJOBS_JOBS}'\ntime = '2h'\n")
    for wrong, said in (("batch:", "write batch:pbs.toml"), ("batch:pbs.toml,partition=gpu", "write batch:FILE,login=HOST"),
                        ("batch:pbs.toml,login=-x", "login= cannot be '-x'")):
        with pytest.raises(InputError) as caught:
            load_hosts(wrong)
        assert said in str(caught.value)
    lab, host, other = load_hosts("lab1,batch:pbs.toml,login=me@c slots=5,batch:pbs.toml")
    assert (lab.name, host.name, host.slots, other.name) == ("lab1", "batch1-1", 5, "batch2-1")
    assert dict(host.slurm) == {"time": "7200", "login": "me@c", "mode": "own", "submit": "qsub $SSHJOBS_SCRIPT", "ask": "qselect",
                                "end": "qdel ${SSHJOBS_JOBS}"}
    assert [one.name for one in renumbered([host], {"slurm3-1"})] == ["batch4-1"]


@tries("write time=2h", "write {}={}", "there are {}=")
def test_what_a_mistake_advises_is_taken() -> None:
    for wrong, right in (("time=1s", "time=2h"), ("partition=,", "partition=gpu"), ("account=-", "account=project1"),
                         ("login=-", "login=cluster.example.org"), ("qos=;", "qos=normal"), ("constraint=;", "constraint=intel"),
                         ("gres=-", "gres=gpu:2"), ("what=1", "nodes=2")):
        with pytest.raises(InputError) as caught:
            load_hosts(f"slurm:{wrong}")
        assert right in str(caught.value) or right.partition("=")[0] + "=" in str(caught.value)
        assert load_hosts(f"slurm:{right}")
