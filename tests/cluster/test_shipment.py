"""What is sent of sshjobs to the hosts of an engine cluster is all that they need of it."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from sshjobs.cluster.shipment import NAME, write_shipment

# Without `site` there is no other sshjobs than the one that was sent, however it is installed here.
ON_HOST = """
import runpy, sys
place, libraries, kind, *words = sys.argv[1:]
sys.path += [libraries]
sys.argv[:] = [place, kind, *words]
runpy.run_path(place, run_name="__main__")
"""


@pytest.mark.parametrize("kind", ["dask", "gearman", "ipython", "zmq"])
def test_a_host_without_sshjobs_knows_the_commands_of_an_engine(kind: str, tmp_path: Path) -> None:
    write_shipment(tmp_path)
    told = subprocess.run([sys.executable, "-I", "-S", "-c", ON_HOST, tmp_path / NAME, sysconfig.get_path("purelib"), kind, "LaunchWorkr"],
                          cwd=tmp_path, capture_output=True, text=True)
    assert (told.returncode, told.stderr) == (2, f"sshjobs: {kind} has no command 'LaunchWorkr'; did you mean LaunchWorker?\n")
