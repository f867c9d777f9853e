"""Which tests look at a file: the quickest first, since the first that fails ends the hunt."""

from __future__ import annotations

#: By the beginning of a file's path; the longest that fits counts.
TESTS: dict[str, tuple[str, ...]] = {
    "sshjobs/scheduling": ("tests/core", "tests/sim", "tests/api", "tests/faults/test_leases.py", "tests/cli/test_queue.py"),
    "sshjobs/store": ("tests/store", "tests/test_rundir.py", "tests/cli/test_status.py", "tests/cli/test_queue.py",
                      "tests/web/test_api.py"),
    "sshjobs/store/index.py": ("tests/store/test_index.py", "tests/web/test_api.py"),
    "sshjobs/store/timeline.py": ("tests/store/test_index.py", "tests/web/test_api.py"),
    "sshjobs/network/protocol": ("tests/network/test_frames.py", "tests/network/test_link.py",
                                 "tests/network/test_checksum.py", "tests/network", "tests/sim", "tests/gjob/test_links.py"),
    "sshjobs/gjob": ("tests/sim", "tests/gjob"),
    "sshjobs/gjob/verbs": ("tests/gjob/test_verbs_local.py", "tests/gjob/test_verbs_install.py",
                           "tests/gjob/test_verbs_remote.py", "tests/cli/test_audit.py", "tests/acceptance/test_gc.py"),
    "sshjobs/gjob/ship.py": ("tests/gjob/test_bootstrap.py", "tests/gjob/test_verbs_install.py",
                             "tests/gjob/test_verbs_remote.py"),
    "sshjobs/gjob/agent/cache.py": ("tests/gjob/test_cache.py", "tests/sim", "tests/network/test_upload.py"),
    "sshjobs/gjob/agent/facts.py": ("tests/gjob/test_bootstrap.py", "tests/gjob"),
    "sshjobs/gjob/cgroup.py": ("tests/gjob/test_cgroups.py", "tests/gjob"),
    "sshjobs/gjob/oom.py": ("tests/gjob/test_memory.py", "tests/gjob"),
    "sshjobs/gjob/kill.py": ("tests/gjob/test_trees.py", "tests/gjob"),
    "sshjobs/gjob/room.py": ("tests/gjob/test_room.py", "tests/gjob"),
    "sshjobs/gjob/lease.py": ("tests/gjob/test_leases.py", "tests/sim/test_leases.py", "tests/gjob"),
}


def suites_for(path: str) -> tuple[str, ...]:
    """Return the tests to run for a file, in order."""
    return TESTS[max((prefix for prefix in TESTS if path.startswith(prefix)), key=len)]
