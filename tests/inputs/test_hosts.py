"""Hosts files and specifications: what they mean, and every mistake with its place."""

from __future__ import annotations

import json
import logging
import textwrap
from dataclasses import asdict

import pytest

from sshjobs.errors import EXIT_USAGE, InputError, UsageError
from sshjobs.inputs import hostfile, hostranges
from sshjobs.inputs.hostfile import load_hosts
from sshjobs.model.host import Host


def names(spec: str | list[str]) -> list[str]:
    return [host.name for host in load_hosts(spec)]


def said(spec: str | list[str]) -> list[str]:
    with pytest.raises(InputError) as caught:
        load_hosts(spec)
    assert caught.value.exit_code == EXIT_USAGE
    return str(caught.value).split("\n")


@pytest.fixture
def file(tmp_path):
    """A hosts file with a text."""

    def write(text: str | bytes) -> str:
        path = tmp_path / "hosts.txt"
        path.write_bytes(text if isinstance(text, bytes) else textwrap.dedent(text).encode())
        return str(path)

    return write


def test_a_file_names_hosts_with_their_settings(file):
    assert load_hosts(file("""\
        # the lab
        gpu1 slots=8 python=/opt/python3.11/bin/python3 gpu big   # the new one

        lab@10.0.0.7:2222 slots=2
        \tnode-a.example.org\ttag:x
        [fe80::1%eth0]:22 python=python3.9
        root@[::1]
        localhost slots=1
        """)) == [
        Host("gpu1", slots=8, python="/opt/python3.11/bin/python3", tags=("gpu", "big")),
        Host("lab@10.0.0.7:2222", "lab", 2222, 2),
        Host("node-a.example.org", tags=("tag:x",)),
        Host("[fe80::1%eth0]:22", port=22, python="python3.9"),
        Host("root@[::1]", "root"),
        Host("localhost", slots=1, local=True),
    ]


@pytest.mark.parametrize(("spec", "expected"), [
    ("h1", ["h1"]),
    ("h1,h2", ["h1", "h2"]),
    ("h1, h2 ,h3", ["h1", "h2", "h3"]),
    ("node[1-3]", ["node1", "node2", "node3"]),
    ("node[08-11]", ["node08", "node09", "node10", "node11"]),
    ("node[1,4,7-8]", ["node1", "node4", "node7", "node8"]),
    ("node[0-8/4]", ["node0", "node4", "node8"]),
    ("node[7,01-02,7]", ["node7", "node01", "node02"]),
    ("n1[8-11]", ["n18", "n19", "n110", "n111"]),
    ("10.0.0[1-2][3-4]", ["10.0.013", "10.0.014", "10.0.023", "10.0.024"]),
    ("n0[1-2]", ["n01", "n02"]),
    ("r[1-2]n[1-2]", ["r1n1", "r1n2", "r2n1", "r2n2"]),
    ("node[1-2].rack3", ["node1.rack3", "node2.rack3"]),
    ("10.0.0.{1,2}", ["10.0.0.1", "10.0.0.2"]),
    ("10.0.0.{9..11}", ["10.0.0.9", "10.0.0.10", "10.0.0.11"]),
    ("n{08..10}", ["n08", "n09", "n10"]),
    ("n{3..1}", ["n3", "n2", "n1"]),
    ("{a,b}{1,2}", ["a1", "a2", "b1", "b2"]),
    ("{a,b}[1-2]", ["a1", "a2", "b1", "b2"]),
    ("lab@n[1-2]:2222", ["lab@n1:2222", "lab@n2:2222"]),
    ("a,node[1,3],b{1,2}", ["a", "node1", "node3", "b1", "b2"]),
    ("[2001:db8::1],[::1]:2222", ["[2001:db8::1]", "[::1]:2222"]),
    ("under_score,UPPER,9lives,x.y-z,trailing.dot.", ["under_score", "UPPER", "9lives", "x.y-z", "trailing.dot."]),
])
def test_a_specification_is_spelled_out_in_order(spec, expected):
    assert names(spec) == expected
    assert names([spec.replace(" ", "")]) == expected


def test_localhost_is_this_machine_and_nothing_else_is():
    hosts = load_hosts("localhost,root@localhost,localhost:22,127.0.0.1,[::1],localhost.localdomain")
    assert [host.local for host in hosts] == [True, False, False, False, False, False]


def test_a_host_may_say_what_it_has_beside_slots(file):
    assert load_hosts(file("big slots=4 memory=64G scratch='1.5T' count.license=2 count.a=1\n")) == [
        Host("big", slots=4, memory=64 << 30, scratch=3 << 39, counts=(("a", 1), ("license", 2)))]
    (host,) = load_hosts(["big memory=64G count.license=2"])
    assert Host.from_dict(json.loads(json.dumps(asdict(host)))) == host


def test_a_host_that_is_named_again_has_a_slot_more_and_no_more_of_anything_else(file):
    assert load_hosts(file("a memory=8G\na memory=8G\n")) == [Host("a", slots=2, memory=8 << 30)]
    assert said(file("a memory=8G\na\n"))[0].endswith("named twice (first on line 1); keep one of them")


def test_a_specification_may_hold_settings():
    assert load_hosts("localhost slots=4,h2 python=python3.11") == [
        Host("localhost", slots=4, local=True), Host("h2", python="python3.11")]


def test_a_list_holds_one_line_an_item():
    assert load_hosts(["h1 slots=2 fast", "node[1-2]", ""]) == [
        Host("h1", slots=2, tags=("fast",)), Host("node1"), Host("node2")]


def test_a_file_goes_before_a_specification_and_a_directory_does_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rack").write_text("h1\nh2\n")
    (tmp_path / "node1").mkdir()
    assert names("rack") == ["h1", "h2"]
    assert names("node1") == ["node1"]


def test_line_ends_of_windows_and_a_byte_order_mark_do_no_harm(file):
    assert names(file(b"\xef\xbb\xbfh1\r\nh2 slots=2\r\n# x\r\n")) == ["h1", "h2"]


def test_selectors_find_hosts_by_name_glob_and_tag():
    (host,) = load_hosts(["[fe80::1]:22 gpu"])
    assert host.matches([]) and host.matches(["gpu"]) and host.matches(["[fe80::1]:22"]) and host.matches(["*:22"])
    assert not host.matches(["cpu", "fe80*"])


ALLOWED = "letters, digits, '.', '_' and '-' are allowed"
OPTIONS = ("there are slots=N, memory=SIZE, scratch=SIZE, gpus=0,1, gpu_busy=SIZE, count.NAME=N, share=0.5, python=PATH, wrap=… and env.NAME=…, "
           "and for manners max_load=N, min_free=SIZE, only=HH:MM-HH:MM, at_end=WORD, until=DATE and nice=N")
MISTAKES = [
    ("h1,h1", "1:4: host 'h1' is named twice (first on column 1); keep one of them"),
    ("h[1-3],h2", "1:8: host 'h2' is named twice (first on column 1); keep one of them"),
    ("h:0", "1:1: a port must be a number from 1 to 65535, got '0'"),
    ("h:65536", "1:1: a port must be a number from 1 to 65535, got '65536'"),
    ("h:22abc", "1:1: a port must be a number from 1 to 65535, got '22abc'"),
    ("h:", "1:1: a port must be a number from 1 to 65535, got ''"),
    ("h:٣", "1:1: a port must be a number from 1 to 65535, got '\\u0663'"),
    ("\u0430bc", f"1:1: '\\u0430bc' holds '\\u0430', which no host name may; {ALLOWED}"),
    ("[::1", "1:1: the bracket in '[::1' is not closed; write [fe80::1]:22"),
    ("n[8-011]", "1:1: '8-011' is not a range: bad range: \"padding length mismatch : \"8-011\"\"; write [01-16]"),
    ("h slots=0", "1:3: slots must be a number from 1 to 4096, got '0'"),
    ("h slots=-1", "1:3: slots must be a number from 1 to 4096, got '-1'"),
    ("h slots=all", "1:3: slots must be a number from 1 to 4096, got 'all'"),
    ("h slots=4097", "1:3: slots must be a number from 1 to 4096, got '4097'"),
    ("h slots=", "1:3: slots must be a number from 1 to 4096, got ''"),
    ("h slots=1 slots=2", "1:11: slots= is given twice; keep one of them"),
    ("h slot=1", "1:3: unknown option 'slot='; did you mean slots=?"),
    ("h count.a=0", "1:3: count.a must be a number from 1 to 1000000, got '0'"),
    ("h count.a=-1", "1:3: count.a must be a number from 1 to 1000000, got '-1'"),
    ("h count.=1", "1:3: '' is no name of a counter; write count.license=2"),
    ("h count.memory=1", "1:3: 'memory' is no counter; write memory=…"),
    ("h count.cpus=1", "1:3: 'cpus' is no counter; call it by another name"),
    ("h count.gpus=1", "1:3: 'gpus' is no counter; write gpus=…"),
    ("h count.a=1 count.a=2", "1:13: count.a= is given twice; keep one of them"),
    ("h memory=8", "1:3: memory must be at least 1M, got 8 bytes; write a unit: 512M or 4G"),
    ("h memory='8 potatoes'", "1:3: memory must be a size, got '8 potatoes'; write 512M or 4G"),
    ("h scratch=", "1:3: scratch must be a size, got ''; write 512M or 4G"),
    ("h memory=1G memory=2G", "1:13: memory= is given twice; keep one of them"),
    ("h gpus=2", "1:3: gpus= cannot be 2, which may mean so many or that one; write gpus=gpu2 for that one, gpus=0,1 for several, gpus=0 for none"),
    ("h gpus=a100", "1:3: gpus= cannot be 'a100'; write gpus=0,1 (numbers), UUIDs, or gpus=0 for none"),
    ("h gpus=", "1:3: gpus= names none; write gpus=0,1, or gpus=0 for none"),
    ("h gpus=none gpus=0", "1:13: gpus= is given twice; keep one of them"),
    ("h gpu_busy=500", "1:3: gpu_busy must be at least 1M, got 500 bytes; write a unit: 512M or 4G"),
    ("h zzz=1", f"1:3: unknown option 'zzz='; {OPTIONS}"),
    ("h python=a/b", "1:3: python= cannot be the relative path 'a/b'; write the whole path"),
    ("h python=", "1:3: python= cannot be ''; write python3.11 or /opt/bin/python3"),
    ("h python=-c", "1:3: python= cannot be '-c'; write python3.11 or /opt/bin/python3"),
    ("h python=/x;y", "1:3: python= cannot be '/x;y'; write python3.11 or /opt/bin/python3"),
    ("h1 h2", "1:4: 'h2' is no option; part hosts by commas; tags go in a hosts file"),
    ("", "1:1: a host is missing here; write h1,h2 or node[01-16]"),
    (" ", "1:1: a host is missing here; write h1,h2 or node[01-16]"),
    ("a,,b", "1:3: a host is missing here; write h1,h2 or node[01-16]"),
    ("a,", "1:3: a host is missing here; write h1,h2 or node[01-16]"),
    ("fe80::1", "1:1: 'fe80::1' is not host:port; IPv6 goes in brackets: [fe80::1]:22"),
    ("[fe80::zz]", "1:1: '[fe80::zz]' is not an IPv6 address; write [fe80::1]:22"),
    ("[fe80::1%;x]", "1:1: '%;x' names no interface; write [fe80::1%eth0]"),
    ("[fe80::1]22", "1:1: '22' after the brackets is not a port; write [fe80::1]:22"),
    ("node[1-", "1:1: brackets do not match in 'node[1-'; write node[01-16]; IPv6 is [fe80::1]"),
    ("node[]", "1:1: '' is not a range; write [01-16], [1,4] or [0-8/2]"),
    ("node[a-b]", "1:1: 'a-b' is not a range; write [01-16], [1,4] or [0-8/2]"),
    ("node[5-1]", "1:1: the range '5-1' runs backwards; write the smaller number first"),
    ("node[1-5/0]", "1:1: '1-5/0' is not a range; write [01-16], [1,4] or [0-8/2]"),
    ("n{a}", "1:1: '{a}' lists nothing; write {1,2} or {1..4}"),
    ("n{a,}", "1:1: '{a,}' lists nothing; write {1,2} or {1..4}"),
    ("n{a", "1:1: braces do not match in 'n{a'; write 10.0.0.{1,2} or node{1..4}"),
    ("n{a,{b,c}}", "1:1: braces do not match in 'n{a,{b,c}}'; write 10.0.0.{1,2} or node{1..4}"),
    ("@group", "1:1: the login name before '@' is missing; a group is named on the command line: --hosts @NAME"),
    ("a!b", f"1:1: 'a!b' holds '!', which no host name may; {ALLOWED}"),
    ("user@", "1:1: the host's name is missing; write [user@]host[:port]"),
    ("-oProxyCommand=x",
     "1:1: '-oProxyCommand=x' starts with '-': ssh would take it for an option; give the host an alias in ssh_config"),
    ("{-x,b}", f"1:1: '-x' is not a host name; {ALLOWED}, not '.' first"),
    (".hidden", ".hidden: there is no such hosts file; check the path"),
    ("no/such/file", "no/such/file: there is no such hosts file; check the path"),
    ("hosts.txt", "hosts.txt: there is no such hosts file; check the path"),
    ("hosts.text", "hosts.text: there is no such hosts file; check the path"),
]


@pytest.mark.parametrize(("spec", "expected"), MISTAKES)
def test_a_mistake_in_a_specification_is_one_line_with_its_place(spec, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert said(spec) == [f"hosts:{expected}" if expected[0].isdigit() else expected]


def test_all_mistakes_of_a_file_come_in_one_go(file):
    path = file("""\
        h1
        h2 slots=0 zz=1
        h[0-1]   # again
        a;b,c:0
        h3 $(x)
        """)
    assert said(path) == [
        f"{path}:2:4: slots must be a number from 1 to 4096, got '0'",
        f"{path}:2:12: unknown option 'zz='; {OPTIONS}",
        f"{path}:3:1: host 'h1' is named twice (first on line 1); keep one of them",
        f"{path}:4:1: 'a;b' holds ';', which no host name may; {ALLOWED}",
        f"{path}:4:5: a port must be a number from 1 to 65535, got '0'",
        f"{path}:5:4: '$(x)' is not a tag; {ALLOWED}",
    ]


@pytest.mark.parametrize(("data", "expected"), [
    (b"", ": no hosts; name one a line, or write localhost"),
    (b"# only\n\n", ": no hosts; name one a line, or write localhost"),
    (b"h1\nh\xff", ":2:2: not valid UTF-8 at byte 4 (0xff); save it as UTF-8"),
    (b"h1\nh\0", ":2:2: a NUL byte at byte 4 is not allowed; take it out"),
    (b"h1\n\x1b[2J", ":2:1: control character U+001B at byte 3 is not allowed; take it out"),
])
def test_a_file_without_hosts_or_text_is_one_line(file, data, expected):
    path = file(data)
    assert said(path) == [path + expected]


@pytest.mark.parametrize("spec", [
    "n[1-10001]", "n[1-999999999]", "n[1-101][1-101]", "n{1..999999999}", "{1..101}{1..101}", "{1..101}[1-101]",
    "n[1-999999999/2]", ",".join(f"h{n}[1-9999]" for n in range(3)),
])
def test_a_range_without_measure_is_refused_before_it_is_made(spec):
    (line,) = said(spec)
    assert "more than 10,000 hosts, the limit" in line


def test_ten_thousand_hosts_are_let_through():
    assert len(load_hosts("n[1-10000]")) == hostranges.MAX_HOSTS


def test_a_file_that_is_too_large_is_refused(file, monkeypatch):
    monkeypatch.setattr(hostfile, "MAX_BYTES", 2**20)
    path = file(b"#" * (2**20 + 1))
    assert said(path) == [f"{path}: is larger than 1 MiB, the limit; split it into several files"]


def test_a_list_must_hold_text():
    with pytest.raises(UsageError, match="a host must be text, got int"):
        load_hosts(["h1", 5])  # type: ignore[list-item]
    assert said([]) == ["hosts: no hosts; name one a line, or write localhost"]


def test_a_file_that_everybody_may_change_is_warned_about(file, tmp_path, caplog):
    path = file("h1\n")
    (tmp_path / "hosts.txt").chmod(0o644)
    with caplog.at_level(logging.WARNING):
        load_hosts(path)
        assert not caplog.records
        (tmp_path / "hosts.txt").chmod(0o666)
        load_hosts(path)
    assert "everybody on this machine may change it" in caplog.text


@pytest.mark.parametrize(("words", "env", "wrap"), [
    ("env.A=1", {"A": "1"}, ()), ("env.A= env.B=x=y", {"A": "", "B": "x=y"}, ()),
    ("env.A='a b' env.B=\"it's # fine\"  # a comment", {"A": "a b", "B": "it's # fine"}, ()),
    (r"env.A=a\ b env.B=\"q\" env.C='\n'", {"A": "a b", "B": '"q"', "C": r"\n"}, ()),
    ("env.A=$HOME env.B='`id`;$(id)'", {"A": "$HOME", "B": "`id`;$(id)"}, ()),
    ("wrap=nice", {}, ("nice",)), ('wrap="nice -n 5"', {}, ("nice", "-n", "5")),
    ("wrap=\"apptainer exec '/a b/c.sif'\" env.X=1", {"X": "1"}, ("apptainer", "exec", "/a b/c.sif")),
    ('slots=2 wrap="a \'\' b" gpu', {}, ("a", "", "b")), ('env.A=x"y z"w', {"A": "xy zw"}, ()),
    ('wrap="日本 語"', {}, ("日本", "語")),
])
def test_values_are_quoted_as_in_a_shell(words, env, wrap):
    (host,) = load_hosts([f"h {words}"])
    assert (dict(host.env), host.wrap) == (env, wrap)
    assert Host.from_dict(json.loads(json.dumps(asdict(host)))) == host
    (host,) = load_hosts(f"h {words.partition('  #')[0]}") if "gpu" not in words else [host]
    assert (dict(host.env), host.wrap) == (env, wrap)


@pytest.mark.parametrize(("line", "complaint"), [
    ('h wrap="a b', '1:1: a quote is not closed; write wrap="nice -n 5"'), ("h env.A='", "1:1: a quote is not closed"),
    ("h env.A=b\\", "1:1: a quote is not closed"),
    ("h wrap=", "1:3: wrap= must begin with a program"), ("h wrap=\"''\"", "1:3: wrap= must begin with a program"),
    ("h wrap=\"a 'b\"", "1:3: in wrap= a quote is not closed"),
    ("h wrap=a wrap=b", "1:10: wrap= is given twice; keep one of them"),
    ("h env.A=1 env.A=2", "1:11: env.A= is given twice; keep one of them"),
    ("h env.1A=1", "1:3: '1A' is no name of a variable; write env.NAME=VALUE"), ("h env.=1", "1:3: '' is no name"),
    ("h env.SSHJOBS_X=1", "1:3: SSHJOBS_… are set by sshjobs; choose another name"),
    (f"h env.A={'x' * 131_072}", "1:3: env.A has more than 131,071 bytes"),
    ("h warp=a", "1:3: unknown option 'warp='; did you mean wrap=?"),
    ("h 'gpu'", "1:3: ''gpu'' is not a tag"), ("h env.A=\x1b", "1:9: control character U+001B is not allowed"),
    ("h wrap=a\nh wrap=b", "2:1: host 'h' is named twice"), ("h env.A=1\nh", "2:1: host 'h' is named twice"),
])
def test_what_is_wrong_with_a_value_is_told(line, complaint):
    with pytest.raises(InputError) as caught:
        load_hosts(line.split("\n"))
    assert str(caught.value).startswith(f"hosts:{complaint}")
