"""The twelfth defect of gjob: ``is-paused`` called a verb that did not exist."""

from __future__ import annotations

import shutil

from tests.gjob.client import eventually
from tests.gjob.command import Gjob, write_command


def test_defect_12_is_paused_works(tmp_path, lab):
    host = lab.hosts[0]
    gjob = Gjob(write_command(tmp_path / "gjob"), tmp_path)
    ssh = ["-r", "defect-12", "-F", str(lab.ssh_config)]
    name = gjob.ok("remote", "start", *ssh, host.name, input="sleep 600\n")
    try:
        asked = [gjob.run("remote", "is-paused", *ssh, name)]
        for verb in ("pause", "unpause"):
            assert gjob.ok("remote", verb, *ssh, name) == ""
            asked.append(gjob.run("remote", "is-paused", *ssh, name))
        assert [(told.returncode, told.stdout, told.stderr) for told in asked] == [
            (1, "no\n", ""), (0, "yes\n", ""), (1, "no\n", "")]
    finally:
        gjob.ok("remote", "kill", *ssh, name)
        shutil.rmtree(host.home / "defect-12")
    eventually(lambda: not host.pids_with("SSHJOBS_RUN=gjob"), "nothing left on the host")
