"""Engines that do not answer are told in one line, within seconds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sshjobs import SshjobsError
from sshjobs.pools.config import ConfigException, read_ini
from tests.hints import tries
from tests.pools.engines import free_port


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
