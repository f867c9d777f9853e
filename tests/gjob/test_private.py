"""What we make on a host is the user's alone, whatever the user's umask: a run holds scripts, inputs and outputs of jobs."""

from __future__ import annotations

import os
from pathlib import Path

from tests.gjob.client import FarHost
from tests.gjob.test_jobs import put


def test_nobody_else_may_look_into_what_a_run_makes_on_a_host(far: FarHost) -> None:
    before = os.umask(0)
    try:
        link = far.connect()
    finally:
        os.umask(before)
    sha = put(link, b"secret")
    end = link.run("1.1", script="echo out; echo error message >&2\n", files=[["a/in", sha, 0o644]], stdin=sha)
    # The outputs are of unlike lengths.
    assert (end["out"], end["err"]) == (4, 14)
    link.run("2.1", "/bin/true")
    link.say("fence", id="3.1")
    assert link.end_of("3.1")["why"] == "fenced"
    seen = {str(path.relative_to(far.directory.parent)): path.stat().st_mode & 0o777
            for path in [far.directory, *far.directory.rglob("*")] if not path.is_symlink()}
    given = {f"{far.directory.name}/w/1.1/a", f"{far.directory.name}/w/1.1/a/in"}
    assert given <= set(seen) and len(seen) > 10
    open_to_others = {name: oct(mode) for name, mode in seen.items() if mode & 0o077 and name not in given}
    assert open_to_others == {}
    assert seen[f"{far.directory.name}/w/3.1"] == 0o500, "a fence shows that it is one"
    assert {mode for name, mode in seen.items() if "/w/" in name and name.count("/") == 2} == {0o500, 0o700}
    socket = Path(f"/tmp/sshjobs-{os.getuid()}")
    assert socket.stat().st_mode & 0o777 == 0o700
