"""Holds the network and mount namespaces that the hosts of a lab hang on, as long as the lab's owner lives.

Run as ``unshare --net --mount python -I -S keeper.py REGISTRY_ENTRY BASE``; stdlib only. When stdin ends the
owner is gone: the lab's files are removed, and with this process the kernel drops bridge, cables and mounts.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys

BRIDGE = "link add br0 type bridge stp_state 0\nlink set br0 up\nlink set lo up\n"


def unmount_below(base: str) -> None:
    """Detach what is mounted in the lab's directory, so that its files can be removed."""
    with open("/proc/self/mounts") as lines:
        places = [line.split()[1] for line in lines]
    for place in places:
        if place.startswith(base + os.sep):
            subprocess.run(["umount", "--lazy", place], check=False)


def main(entry: str, base: str) -> None:
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    subprocess.run(["ip", "-batch", "-"], input=BRIDGE.encode(), check=True)
    os.write(1, b"ready\n")
    while os.read(0, 4096):
        continue
    unmount_below(base)
    shutil.rmtree(base, ignore_errors=True)
    shutil.rmtree(entry, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
