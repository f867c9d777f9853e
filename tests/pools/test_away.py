"""Engines that do not answer are told in one line, within seconds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ipyparallel.error import NoEnginesRegistered

from sshjobs import SshjobsError
from sshjobs.pools.config import ConfigException, read_ini
from tests.cluster.byhand import terminals
from tests.conftest import REPOSITORY
from tests.hints import tries
from tests.pools.engines import ENGINES
from tests.ports import free_port


def test_a_dask_scheduler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sshjobs.pools import dask

    monkeypatch.setattr(dask, "ANSWER_S", 1.0)
    ini = tmp_path / "cluster.ini"
    ini.write_text(f"[client]\nscheduler_url = tcp://127.0.0.1:{free_port()}\nchunksize = 3\n")
    with pytest.raises(SshjobsError, match=r"scheduler does not answer.*nothing came in 1 s"):
        dask.MakePool(ini)
    ini.write_text("[client]\n")
    with pytest.raises(ConfigException, match="scheduler_url"):
        dask.MakePool(ini)


@tries("nothing came in {} s; is it launched, and is this its file?")
def test_a_controller_of_ipyparallel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sshjobs.pools import ipython

    monkeypatch.setattr(ipython, "ANSWER_S", 1.0)
    file, ini = tmp_path / "client.json", tmp_path / "cluster.ini"
    file.write_text(json.dumps({"ssh": "", "interface": "tcp://127.0.0.1", "registration": free_port(), "key": "k",
                                "location": "127.0.0.1", "pack": "json", "unpack": "json", "signature_scheme": "hmac-sha256",
                                **dict.fromkeys(("control", "task", "mux", "iopub", "notification"), 9), "task_scheme": "pure"}))
    ini.write_text("[client]\nconnection_file = client.json\n")
    with pytest.raises(SshjobsError, match=r"controller does not answer.*nothing came in 1 s; is it launched"):
        ipython.MakePool(ini)
    file.write_text("{}")
    with pytest.raises(SshjobsError, match=r"controller does not answer.*KeyError"):
        ipython.MakePool(ini)
    file.unlink()
    with pytest.raises(SshjobsError, match=r"controller does not answer"):
        ipython.MakePool(ini)


@tries("take the key_file of this cluster")
def test_a_key_of_dask_that_does_not_fit(tmp_path: Path) -> None:
    from sshjobs.cluster.certificates import make_certificate
    from sshjobs.pools.dask import MakePool

    port = free_port()
    for name in ("right", "wrong"):
        make_certificate(tmp_path / f"{name}.pem")
        (tmp_path / f"{name}.ini").write_text(f"[client]\nscheduler_url = tls://127.0.0.1:{port}\nkey_file = {name}.pem\n")
    with terminals(tmp_path) as open_one:
        open_one("-t", "dask", "-c", tmp_path / "right.ini", "LaunchScheduler").until("Scheduler at:")
        with pytest.raises(SshjobsError, match="the scheduler refuses the key; take the key_file of this cluster"):
            MakePool(tmp_path / "wrong.ini")
        MakePool(tmp_path / "right.ini").close()


@pytest.mark.parametrize(("kind", "others"), [("dask", ("zmq", "gear", "ipyparallel")), ("gearman", ("distributed", "ipyparallel")),
                                              ("zmq", ("distributed", "gear", "ipyparallel")), ("ipython", ("distributed", "gear"))])
def test_an_engine_needs_the_packages_of_its_own_extra_alone(kind: str, others: tuple[str, ...]) -> None:
    code = (f"import sys; sys.modules.update(dict.fromkeys({others!r}))\n"
            f"import sshjobs.cluster.{kind} as engine\nprint(engine.ENGINE.kind)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(REPOSITORY)})
    assert (done.stdout, done.stderr) == (f"{kind}\n", "")


def test_a_broker_of_zmq(tmp_path: Path) -> None:
    from sshjobs.pools.zmq import ClusterPool, MakePool

    ini = tmp_path / "cluster.ini"
    ini.write_text(f"[DEFAULT]\nrequest_url = ipc://{tmp_path}/a\nresult_url = ipc://{tmp_path}/b\nchunksize = 4\n")
    with pytest.raises(SshjobsError, match="does not answer"):
        ClusterPool(read_ini([ini])).map(abs, [1])
    assert MakePool(ini).chunksize == 4 and MakePool(ini, chunksize=2).chunksize == 2
    ini.write_text(f"[DEFAULT]\nresult_url = ipc://{tmp_path}/b\n")
    with pytest.raises(ConfigException, match="request_url"):
        MakePool(ini).map(abs, [1])


def test_an_engine_that_goes_while_it_is_looked_up_fails_no_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client hears in a thread of its own that an engine has gone, so its own tables may disagree for a moment."""
    with ENGINES["ipython"](tmp_path) as made, made.pool() as pool:
        client = pool._client
        build_targets, left = client._build_targets, [KeyError(2), IndexError("No such engine: 2"), NoEnginesRegistered("none")]

        def gone(targets: Any) -> Any:
            if left:
                raise left.pop()
            return build_targets(targets)

        monkeypatch.setattr(client, "_build_targets", gone)
        assert pool.map(abs, range(-20, 0), chunksize=5) == list(range(20, 0, -1))
        assert not left
        left.extend([KeyError(2)] * 1000)
        pool.poll_timeout = 0.3
        with pytest.raises(SshjobsError, match="no worker has taken a chunk"):
            pool.map(abs, range(3))
