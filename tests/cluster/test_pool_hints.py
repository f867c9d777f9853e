"""What pools advise, followed: what is sent, keys, addresses, and a job server that goes in the middle of a map."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any

import pytest

from sshjobs.errors import UsageError
from sshjobs.pools.chunks import OtherPythonError, PickleDataEncoder, PoolError, seal, unseal
from sshjobs.pools.gearman import ClusterPool, MakePool
from sshjobs.pools.keys import Key
from tests.cluster.byhand import terminals
from tests.cluster.test_by_hand import LISTENS, REGISTERED, gearman_ini
from tests.hints import tries
from tests.ports import free_ports


@tries("leave out what only lives in this process")
def test_what_cannot_be_sent_is_left_out() -> None:
    lock = Lock()
    with pytest.raises(PoolError, match="cannot be pickled.*; leave out what only lives in this process"):
        PickleDataEncoder.encode(lock)
    assert PickleDataEncoder.decode(PickleDataEncoder.encode([1])) == [1]


@tries("give all parties the same key_file")
@pytest.mark.parametrize("change", ["key", "about", "data"])
def test_what_was_not_sealed_for_this_is_refused(change: str) -> None:
    sealed = seal(b"k" * 32, b"result 1", b"data")
    key = b"x" * 32 if change == "key" else b"k" * 32
    about = b"request 1" if change == "about" else b"result 1"
    with pytest.raises(PoolError, match="not sealed with the cluster's key; give all parties the same key_file"):
        unseal(key, about, sealed[:-1] + b"x" if change == "data" else sealed)
    assert unseal(b"k" * 32, b"result 1", sealed) == b"data"


@tries("use one version of sshjobs, and key_file everywhere or nowhere")
@pytest.mark.parametrize("data", [b"", b"junk", b"sshjobs 2 py3.11\n", seal(b"k" * 32, b"a", b"b")])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(PoolError, match="use one version of sshjobs, and key_file everywhere or nowhere"):
        unseal(None, b"a", data)
    assert unseal(None, b"a", seal(None, b"a", b"b")) == b"b"


@tries("functions travel as code of one Python: use the same on both")
def test_another_python_is_told() -> None:
    other = seal(None, b"a", b"b").replace(b" py3.", b" py3.9")
    with pytest.raises(OtherPythonError, match="and the other end Python 3.9.*; functions travel as code of one Python"):
        unseal(None, b"a", other)


@tries('give ["HOST:PORT"]', "give key=Key.load(FILE)")
def test_addresses_of_job_servers_are_checked(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a pool needs one gearmand or more; give"):
        ClusterPool([])
    with pytest.raises(UsageError, match="needs the cluster's key; give key=Key.load"):
        ClusterPool(["10.0.0.1:4730"])
    Key.make(tmp_path / "key")
    ClusterPool(["10.0.0.1:4730"], key=Key.load(tmp_path / "key"))


@pytest.fixture
def open_terminal(tmp_path: Path, clean_home: Path) -> Iterator[Any]:
    with terminals(tmp_path) as open_one:
        yield open_one


@tries("see that it is up, and map again: nothing is kept of this map")
def test_a_job_server_that_goes_is_told(open_terminal: Any, tmp_path: Path) -> None:
    ini = tmp_path / "c.ini"
    ini.write_text(gearman_ini())

    def launch() -> Any:
        broker = open_terminal("-t", "gearman", "-c", ini, "LaunchBroker")
        broker.until(LISTENS["gearman"])
        return broker

    broker = launch()
    worker = open_terminal("-t", "gearman", "-c", ini, "LaunchWorker", "1")
    worker.until(REGISTERED["gearman"])
    pool = MakePool(ini, 1)
    results = pool.imap(abs, range(-3000, 0))
    next(results)
    assert broker.interrupt() == 0
    with pytest.raises(PoolError, match="gearmand does not answer any more; see that it is up, and map again"):
        list(results)
    launch()
    assert pool.map(abs, [-1]) == [1]


@tries("nothing came in {} s; is it launched, and is this its file?")
def test_a_controller_that_is_away_is_told(tmp_path: Path) -> None:
    from sshjobs.cluster.ipython import CLIENT_FILE, ENGINE_FILE, IPython, write_connections
    from sshjobs.pools.ipython import ClusterPool as IPythonPool

    write_connections(tmp_path / CLIENT_FILE, tmp_path / ENGINE_FILE, "127.0.0.1", free_ports(IPython.ports))
    (tmp_path / "c.ini").write_text(f"[client]\nconnection_file = {CLIENT_FILE}\n")
    with pytest.raises(PoolError, match="controller does not answer: .*nothing came in 5 s; is it launched, and is this its file"):
        IPythonPool(config_file=tmp_path / "c.ini")
