"""The INI of an engine cluster: glimpse-cluster's keys, errors that name file and key, and no key left behind."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from sshjobs.errors import UsageError
from sshjobs.pools.config import ConfigException, Endpoint, Settings, find_config, is_local, last_recorded, read_ini
from sshjobs.pools.keys import Key
from tests.hints import tries

GEARMAN = """
[client]
host = 127.0.0.1
job_server_url = %(host)s:4730
command_frontend_url = tcp://%(host)s:9001
chunksize = 16
"""


def ini(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def settings(tmp_path: Path, text: str) -> Settings:
    return read_ini([ini(tmp_path / "c.ini", text)])


def test_values_are_interpolated_as_they_were(tmp_path: Path) -> None:
    found = settings(tmp_path, GEARMAN)
    assert found.address("client", "job_server_url") == ("127.0.0.1", 4730)
    assert found.url("client", "command_frontend_url") == "tcp://127.0.0.1:9001"
    assert found.number("client", "chunksize", 8) == 16
    assert found.number("client", "max_retries", 3) == 3


def test_a_later_file_wins_key_by_key(tmp_path: Path) -> None:
    found = read_ini([ini(tmp_path / "a.ini", GEARMAN), ini(tmp_path / "b.ini", "[client]\nchunksize = 2\n")])
    assert found.number("client", "chunksize", 8) == 2
    assert found.address("client", "job_server_url") == ("127.0.0.1", 4730)


def test_sections_inherit_from_default(tmp_path: Path) -> None:
    text = "[DEFAULT]\nrequest_url = ipc:///tmp/r\nrequest_bind = yes\n[READER]\nrequest_bind = no\n"
    found = settings(tmp_path, text)
    assert found.endpoint("READER", "request") == Endpoint("ipc:///tmp/r", False)
    assert found.endpoint("WRITER", "request") == Endpoint("ipc:///tmp/r", True)


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("[client]\n", "job_server_url", "[client] has no job_server_url; add it"),
        ("", "job_server_url", "[client] has no job_server_url"),
        ("[client]\njob_server_url = here\n", "job_server_url", "must be HOST:PORT, got 'here'"),
        ("[client]\njob_server_url = h:99999\n", "job_server_url", "must be HOST:PORT"),
        ("[client]\njob_server_url = %(nothing)s:1\n", "job_server_url", "job_server_url in [client] cannot be read"),
        ("nonsense\n", None, "cannot be read"),
        ("[client]\na = 1\na = 2\n", None, "already exists"),
        ("[client]\n[client]\n", None, "already exists"),
    ],
)
def test_a_mistake_is_told_with_file_and_key(tmp_path: Path, text: str, key: str | None, words: str) -> None:
    with pytest.raises(ConfigException) as caught:
        settings(tmp_path, text).address("client", "job_server_url")
    assert words in str(caught.value)
    assert caught.value.key == key
    assert caught.value.file == str(tmp_path / "c.ini")
    assert "\n" not in str(caught.value)


@tries("add it")
def test_a_key_that_is_missing_is_added(tmp_path: Path) -> None:
    with pytest.raises(ConfigException, match="has no job_server_url; add it"):
        settings(tmp_path, "[client]\n").address("client", "job_server_url")
    assert settings(tmp_path, "[client]\njob_server_url = h:1\n").address("client", "job_server_url") == ("h", 1)


@pytest.mark.parametrize(("value", "words"), [("nine", "a number above 0"), ("0", "a number above 0"), ("-1", "above 0"), ("inf", "above 0"), ("nan", "above 0")])
def test_what_is_no_number_is_told(tmp_path: Path, value: str, words: str) -> None:
    with pytest.raises(ConfigException, match=words):
        settings(tmp_path, f"[client]\nchunksize = {value}\n").number("client", "chunksize", 8)


def test_what_is_neither_yes_nor_no_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigException, match="must be yes or no, got 'perhaps'"):
        settings(tmp_path, "[A]\nx_bind = perhaps\n").flag("A", "x_bind")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigException, match="No such file"):
        read_ini([tmp_path / "none.ini"])


def test_bytes_that_are_no_text_are_told(tmp_path: Path) -> None:
    (tmp_path / "c.ini").write_bytes(b"[client]\nx = \xff\xfe\n")
    with pytest.raises(ConfigException, match="cannot be read"):
        read_ini([tmp_path / "c.ini"])


@tries("name the one of the cluster")
@pytest.mark.parametrize("url", ["tcp://*:5000", "tcp://0.0.0.0:5000", "tcp://[::]:5000", "tcp://0:5000"])
def test_nothing_listens_on_every_address(tmp_path: Path, url: str) -> None:
    found = settings(tmp_path, f"[WRITER]\nrequest_url = {url}\nrequest_bind = yes\n")
    with pytest.raises(ConfigException, match="every address of this machine; name the one"):
        found.endpoint("WRITER", "request")
    named = settings(tmp_path, "[WRITER]\nrequest_url = tcp://10.0.0.1:5000\nrequest_bind = yes\n")
    assert named.endpoint("WRITER", "request").bind


@pytest.mark.parametrize("url", ["ftp://h:1", "tcp://h", "h:1", "tcp://h:1/x", "ipc://"])
def test_what_is_no_channel_is_told(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigException, match="must be tcp://HOST:PORT or ipc://PATH"):
        settings(tmp_path, f"[client]\nlog_url = {url}\n").url("client", "log_url")


@pytest.mark.parametrize(
    ("url", "local"),
    [("tcp://127.0.0.1:1", True), ("tcp://localhost:1", True), ("127.0.0.2:4730", True), ("tcp://[::1]:5", True),
     ("ipc:///x", True), ("tcp://10.0.0.1:5", False), ("localhost.evil.example:4730", False), ("127.0.0.1.example:1", False),
     ("tcp://*:5", False), ("tls://127.0.0.1:8786", True)],
)
def test_what_only_this_machine_can_reach(url: str, local: bool) -> None:
    assert is_local(url) is local


@tries("add the key_file that the broker of this cluster has")
def test_without_a_key_only_this_machine_is_talked_to(tmp_path: Path) -> None:
    assert settings(tmp_path, GEARMAN).cluster_key("client") is None
    with pytest.raises(ConfigException, match="log_url in \\[client\\] is not on this machine, and there is no key_file"):
        settings(tmp_path, GEARMAN + "log_url = tcp://10.0.0.9:9004\n").cluster_key("client")
    made = Key.make(tmp_path / "key")
    assert settings(tmp_path, GEARMAN + "log_url = tcp://10.0.0.9:9004\nkey_file = key\n").cluster_key("client") == made


def test_a_key_beside_its_ini_is_found(tmp_path: Path) -> None:
    made = Key.make(tmp_path / "key")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    found = settings(tmp_path, "[client]\nkey_file = key\nlog_url = tcp://10.0.0.9:9004\n").cluster_key("client")
    assert found == made
    assert found is not None and len(found.hmac_key) == 32
    assert made.secret not in repr(made)


def test_a_key_is_never_written_over_another(tmp_path: Path) -> None:
    Key.make(tmp_path / "key")
    with pytest.raises(FileExistsError):
        Key.make(tmp_path / "key")


@tries("chmod 600 {}")
def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    made = Key.make(tmp_path / "key")
    (tmp_path / "key").chmod(0o640)
    with pytest.raises(ConfigException, match="others may read the cluster's key; chmod 600"):
        settings(tmp_path, "[client]\nkey_file = key\n").cluster_key("client")
    (tmp_path / "key").chmod(0o600)
    assert settings(tmp_path, "[client]\nkey_file = key\n").cluster_key("client") == made


@tries("take the file that `sshjobs cluster up` or LaunchBroker made")
@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"public": 1, "secret": 2}', b"\xff", b"x" * 5000,
                                  json.dumps({"public": "a" * 40, "secret": "b" * 40}).encode()])
def test_what_is_no_key_is_told(tmp_path: Path, data: bytes) -> None:
    made = Key.make(tmp_path / "good")
    (tmp_path / "key").write_bytes(data)
    (tmp_path / "key").chmod(0o600)
    with pytest.raises(UsageError, match="not the key of an engine cluster"):
        Key.load(tmp_path / "key")
    assert Key.load(tmp_path / "good") == made


def record(state: Path, name: str, kind: str, time: int) -> Path:
    where = state / "sshjobs" / "clusters" / name
    where.mkdir(parents=True)
    (where / "type").write_text(f"{kind}\n")
    os.utime(where / "type", (time, time))
    return where


@pytest.fixture
def state(tmp_path: Path, clean_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("GLIMPSE_CLUSTER_CONFIG", raising=False)
    return tmp_path / "state"


def test_the_environments_file_and_the_named_one_count_together(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(state, "one", "zmq", 1)
    monkeypatch.setenv("GLIMPSE_CLUSTER_CONFIG", "/a.ini")
    monkeypatch.setenv("SSHJOBS_CLUSTER_CONFIG", "/b.ini")
    assert find_config("zmq", "c.ini") == [Path("/a.ini"), Path("/b.ini"), Path("c.ini")]
    written_by_up = state / "sshjobs" / "clusters" / "one" / "cluster.ini"
    assert find_config("zmq", written_by_up) == [written_by_up]


def test_the_last_that_was_brought_up_is_meant(state: Path) -> None:
    first, second = record(state, "one", "zmq", 1), record(state, "two", "zmq", 2)
    other = record(state, "other", "dask", 3)
    assert find_config("zmq") == [second / "cluster.ini"]
    assert find_config("zmq", name="one") == [first / "cluster.ini"]
    assert last_recorded() == other


@tries("name its configuration with -c FILE, or: sshjobs cluster up -t {} HOST…")
def test_where_none_was_brought_up_it_is_told(state: Path) -> None:
    record(state, "one", "zmq", 1)
    with pytest.raises(ConfigException, match="no engine cluster of type dask is known; name its configuration with -c"):
        find_config("dask")
    with pytest.raises(ConfigException, match="of type zmq called 'two'"):
        find_config("zmq", name="two")
    assert find_config("dask", "named.ini") == [Path("named.ini")]
