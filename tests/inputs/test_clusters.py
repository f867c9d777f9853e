"""Clusters: the seed's dict, its two-part files, and what becomes of them."""

from __future__ import annotations

import pytest

from sshjobs import InputError, Network, UsageError
from sshjobs.inputs.clusterfile import clusters_from, hosts_of_clusters, load_clusterfile
from sshjobs.model.host import Cluster, Host, Login, split_login


def write(path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_the_first_line_is_the_management_host_and_the_others_are_workers(tmp_path):
    cluster = load_clusterfile(write(tmp_path / "c", (
        "\n# the old rack\n  user@gate:2222  # in the hall\n\nw1\nw[2-3] slots=4 big\n\t\nlab@w4:22\n")))
    assert cluster.manager is not None and cluster.manager.name == "user@gate:2222"
    assert [(w.name, w.slots, w.tags, w.user, w.port) for w in cluster.workers] == [
        ("w1", None, (), None, None), ("w2", 4, ("big",), None, None), ("w3", 4, ("big",), None, None),
        ("lab@w4:22", None, (), "lab", 22)]
    assert {host.via for host in hosts_of_clusters([cluster])} == {"user@gate:2222"}
    assert {host.via for host in hosts_of_clusters([cluster], direct=True)} == {None}


@pytest.mark.parametrize(("text", "said"), [
    ("", "c: it names no host"),
    ("# nothing\n\n", "c: it names no host"),
    ("gate\n", "c:1:0: the management host has no workers"),
    ("\ngate # alone\n# end\n", "the management host has no workers"),
    ("gate1,gate2\nw1\n", "c:1:1: a cluster has one management host: 2 are named"),
    ("gate slots=3\nw1\n", "c:1:1: gate: the management host runs no jobs"),
    ("gate\nw1\nw1\n", "c:3:1: host 'w1' is named twice"),
    ("gate\n\n-w1\n", "c:3:1: '-w1' starts with '-'"),
    ("-gate\nw1\n", "c:1:1: '-gate' starts with '-'"),
])
def test_mistakes_in_a_cluster_file_are_named_with_their_lines(tmp_path, text, said):
    with pytest.raises(InputError) as caught:
        load_clusterfile(write(tmp_path / "c", text))
    assert said in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="absent"):
        load_clusterfile(tmp_path / "absent")


def test_the_seeds_dict_names_workers_behind_their_management_hosts(tmp_path):
    clusters: dict[str, list[str | Host]] = {"m1": ["w2", "w1 slots=3"], "root@m2:22": [Host("w4"), "w[5-6]"]}
    network = Network(str(tmp_path), clusters)
    assert network.GetHosts() == ["w2", "w1", "w4", "w5", "w6"]
    assert {name: host.via for name, host in network.hosts.items()} == {
        "w2": "m1", "w1": "m1", "w4": "root@m2:22", "w5": "root@m2:22", "w6": "root@m2:22"}
    assert network.hosts["w1"].slots == 3
    assert {host.via for host in Network(str(tmp_path), clusters, direct=True).hosts.values()} == {None}


def test_a_list_of_clusters_is_taken_too(tmp_path):
    clusters = [Cluster(Host("m"), (Host("w1"),)), Cluster(None, (Host("w2"),))]
    assert {name: host.via for name, host in Network(str(tmp_path), clusters).hosts.items()} == {"w1": "m", "w2": None}


def test_a_management_host_among_its_own_workers_is_reached_as_itself():
    hosts = hosts_of_clusters(clusters_from({"m": ["m", "w"]}))
    assert [(host.name, host.via) for host in hosts] == [("m", None), ("w", "m")]


@pytest.mark.parametrize(("clusters", "said"), [
    ({"m": "w1"}, "give a list of hosts"), ({7: ["w1"]}, "management host"), ({"m1": ["w"], "m2": ["w"]}, "twice"),
    ({"m[1-2]": ["w"]}, "one management host"), ({"m slots=2": ["w"]}, "runs no jobs"),
    ({"m": ["localhost"]}, "this machine"), ({"m": ["-w"]}, "starts with '-'"), ({"$(x)": ["w"]}, "no host name may"),
])
def test_what_is_no_cluster_is_refused(tmp_path, clusters, said):
    with pytest.raises(UsageError) as caught:
        Network(str(tmp_path), clusters)
    assert said in str(caught.value)


@pytest.mark.parametrize(("name", "login"), [
    ("h", Login(None, "h", None)), ("u@h", Login("u", "h", None)), ("u@h:22", Login("u", "h", 22)),
    ("[fe80::1]", Login(None, "fe80::1", None)), ("u@[fe80::1%eth0]:2222", Login("u", "fe80::1%eth0", 2222)),
    ("a@b@h", Login("a@b", "h", None)), ("fe80::1", Login(None, "fe80::1", None)),
])
def test_a_name_falls_into_user_address_and_port(name, login):
    assert split_login(name) == login
