"""Lists of hosts as other tools write them: repeats are slots, and what is another format is told in one line."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from sshjobs.errors import InputError
from sshjobs.inputs.hostfile import load_hosts

ANSIBLE = "this is an Ansible inventory; write a host a line, and its groups behind it as tags: h1 web"
CLUSH = ("this is groups of clush; name a group on the command line: --hosts @GROUP; or write its hosts, one a line, with "
         "the group as tag")
PARALLEL = "this is an sshlogin file of GNU parallel; write HOST slots=N for N/HOST, and localhost for :"
SSH = ("this is an ssh_config; write the names behind Host, one a line; ssh reads that file itself: --ssh-config FILE")
LSF = "this is LSF's LSB_MCPU_HOSTS; write HOST slots=N, one a line"


def said(path: Path) -> str:
    """Return what is told about a hosts file, without its name."""
    with pytest.raises(InputError) as error:
        load_hosts(str(path))
    return str(error.value).replace(f"{path}:", "")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the list is."""
    return tmp_path / "list"


def slots(path: Path) -> dict[str, int | None]:
    """Return the slots of the hosts that a file names."""
    return {host.name: host.slots for host in load_hosts(str(path))}


@pytest.mark.parametrize(("text", "expected"), [
    ("n1\n" * 16 + "n2\n" * 16, {"n1": 16, "n2": 16}),  # PBS_NODEFILE
    ("n1\nn2\n" * 3, {"n1": 3, "n2": 3}),  # LSB_DJOB_HOSTFILE, round robin
    ("n1 slots=4\nn2 slots=4\nn1 slots=2\n", {"n1": 6, "n2": 4}),  # Open MPI
    ("n1\n", {"n1": None}),
])
def test_a_host_that_is_named_again_has_a_slot_more(text: str, expected: dict[str, int | None], file: Path,
                                                    caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    file.write_text(text)
    assert slots(file) == expected
    assert len(caplog.records) <= 1


def test_a_repeat_that_may_be_a_slip_is_told(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    file.write_text("n1 gpu\nn2\nn1 big\n")
    assert slots(file) == {"n1": 2, "n2": None}
    assert [host.tags for host in load_hosts(str(file))] == [("gpu", "big"), ()]
    assert caplog.messages[0] == (
        f"{file}: n1 is named 2 times, so it gets 2 slots; to leave that to its cores name it once")
    file.write_text("n1 gpu\nn2\n")
    assert slots(file) == {"n1": None, "n2": None}


@pytest.mark.parametrize("text", ["n[1-3]\nn2\n", "n2\nn[1-3]\n", "n2 slots=4096\nn2\n", "n2 python=python3\nn2\n"])
def test_a_repeat_that_cannot_be_meant_is_a_mistake(text: str, file: Path) -> None:
    file.write_text(text)
    assert "host 'n2' is named twice (first on line 1); keep one of them" in said(file)


@pytest.mark.parametrize(("text", "expected"), [
    ("[web]\nh1\nh2 ansible_host=10.0.0.1\n\n[all:vars]\nansible_user=x\n", f"1:1: {ANSIBLE}"),
    ("h1 ansible_host=10.0.0.1 ansible_port=22\n", f"1:1: {ANSIBLE}"),
    ("all:\n  hosts:\n    h1:\n    h2:\n", f"1:1: {ANSIBLE}"),
    ("# mine\n8/lab@h1\n4/h2\n:\n", f"2:1: {PARALLEL}"),
    (":\nh1\n", f"1:1: {PARALLEL}"),
    ("4//usr/bin/ssh lab@h1\n", f"1:1: {PARALLEL}"),
    ("gpu: h[1-3]\ncpu: h[4-9],x\nall: @gpu,@cpu\n", f"1:1: {CLUSH}"),
    ("Host h1\n  HostName 10.0.0.1\n  User lab\n", f"1:1: {SSH}"),
    ("h1 4\nh2 8\n", f"1:1: {LSF}"),
    ("- h1\n- h2\n", "1:1: this is a YAML list; write a host a line, without the dash"),
    ('{"hosts": ["h1"]}\n', "1:1: this is JSON; write a host a line"),
])
def test_another_format_is_told_in_one_line_with_the_way(text: str, expected: str, file: Path) -> None:
    file.write_text(text)
    assert said(file) == expected


@pytest.mark.parametrize(("text", "fixed", "expected"), [
    ("HDF-1:4\nHDF-2:4\n", "HDF-1 slots=4\nHDF-2 slots=4\n",
     "1:1: 'HDF-1:4' means port 4 here; for 4 jobs at a time (as MPICH writes it) write HDF-1 slots=4, for such a port "
     "write Port into ssh_config"),
    ("h0 h1 h2\n", "h0\nh1\nh2\n", "1:4: 'h1' looks like a host, and stands where tags do; write one host a line"),
    ("web\ndb web\n", "web\ndb\n", "2:4: 'web' looks like a host, and stands where tags do; write one host a line"),
    ("a.lab.org b.lab.org\n", "a.lab.org\nb.lab.org\n",
     "1:11: 'b.lab.org' looks like a host, and stands where tags do; write one host a line"),
    ("h0 10.0.0.7\n", "h0\n10.0.0.7\n",
     "1:4: '10.0.0.7' looks like a host, and stands where tags do; write one host a line"),
    ("h0 slots:4\n", "h0 slots=4\n", "1:4: 'slots:4' looks like an option, and would be a tag; write slots=4"),
    ("h0 slots4\n", "h0 slots=4\n", "1:4: 'slots4' looks like an option, and would be a tag; write slots=4"),
    ("h0 ncpus:4\n", "h0 slots=4\n", "1:4: 'ncpus:4' looks like an option, and would be a tag; write slots=4"),
    ("h0 slots 4\n", "h0 slots=4\n", "1:4: 'slots' looks like an option, and would be a tag; write slots=N"),
    ("h0 python:/opt/python3\n", "h0 python=/opt/python3\n", "1:4: 'python:/opt/python3' is not a tag; letters, digits, "
     "'.', '_' and '-' are allowed"),
    ("h0 port:2222\n", "h0:2222\n", "1:4: 'port:2222' looks like an option, and would be a tag; write HOST:PORT"),
    ("h0 user:lab\n", "lab@h0\n", "1:4: 'user:lab' looks like an option, and would be a tag; write USER@HOST"),
])
def test_a_word_that_is_hardly_a_tag_is_told_and_the_advice_works(text: str, fixed: str, expected: str, file: Path) -> None:
    file.write_text(text)
    assert said(file).split("\n")[0] == expected
    file.write_text(fixed)
    assert load_hosts(str(file))


@pytest.mark.parametrize("line", ["h0 gpu", "h0 a100", "h0 row1 rack2", "gpu1 python3 x86_64", "node1 gpu:v100", "h0 v1.2",
                                  "10.0.0.7 gpu", "a.lab.org lab.org", "h0:2222 big", "h0:22", "127.0.0.1:1"])
def test_an_honest_tag_or_port_is_let_through(line: str, file: Path) -> None:
    file.write_text(f"{line}\n")
    assert len(load_hosts(str(file))) == 1
