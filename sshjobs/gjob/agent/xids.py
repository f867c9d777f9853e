"""What the kernel's log says of NVIDIA's GPUs that fail, where a user may read it: the driver's Xid lines."""

import os
import re

from .. import files, system

#: Errors of the card or of its driver, as NVIDIA lists them; all others may be those of a program.
BROKEN = frozenset((46, 48, 61, 62, 64, 74, 79, 92, 94, 95, 119, 120, 140))
#: Seconds by which a line may be older than the start of the job on whose GPU it is.
_SLACK = 1.0
#: The most records that are looked at, and bytes of one.
_MOST_RECORDS, _MOST_BYTES = 20000, 1 << 16
_LOG, _DEVICES = "/dev/kmsg", "/proc/driver/nvidia/gpus"
#: In a record: its time in microseconds since the boot, then what it says.
_PLACE = rb"PCI:([0-9a-fA-F:]{7,16})(?:\.\d)?"
_XID = re.compile(rb"[0-7],\d+,(\d{1,18}),[^;\n]*;NVRM: Xid \(" + _PLACE + rb"\): (\d{1,6}), (.{0,300})")
_NAMED = re.compile(rb"[0-7],[^;\n]*;NVRM: GPU at " + _PLACE + rb": (GPU-[A-Za-z0-9-]{1,90})")
_UUID = re.compile(r"^GPU UUID:\s+(GPU-[A-Za-z0-9-]{1,90})\s*$", re.MULTILINE)


def failed(since: float) -> "dict[str, str]":
    """Return the GPUs that have failed since then, by their UUIDs, with what the kernel said of it first.

    :param since: by the monotonic clock
    """
    found: "dict[bytes, str]" = {}
    uuids: "dict[bytes, str]" = {}
    for line in _lines():
        named = _NAMED.match(line)
        if named is not None:
            uuids[named.group(1).lower()] = named.group(2).decode("ascii")
        xid = _XID.match(line)
        if xid is not None and int(xid.group(3)) in BROKEN and int(xid.group(1)) / 1e6 >= since - _SLACK:
            said = "".join(c if c.isprintable() else "?" for c in xid.group(4).decode("ascii", "replace"))
            found.setdefault(xid.group(2).lower(), "Xid %d: %s" % (int(xid.group(3)), said))
    if found:
        uuids.update(_driver_tells())
    return {uuids[place]: found[place] for place in found if place in uuids}


def _lines() -> "list[bytes]":
    """Return the records of the log; none where it may not be read."""
    try:
        fd = system.open(_LOG, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return []
    parts: "list[bytes]" = []
    try:
        for _ in range(_MOST_RECORDS):
            try:
                parts.append(system.read(fd, _MOST_BYTES))
            except BrokenPipeError:  # what comes next was overwritten meanwhile
                continue
            if not parts[-1]:
                break
    except OSError:  # BlockingIOError: that was all
        pass
    finally:
        files.close_quietly(fd)
    return b"".join(parts).splitlines()


def _driver_tells() -> "dict[bytes, str]":
    """Return the UUIDs by the places of the cards, as the lines name these: without the function."""
    found: "dict[bytes, str]" = {}
    try:
        places = system.listdir(_DEVICES)
    except OSError:
        return found
    for place in places:
        try:
            text = files.contents("%s/%s/information" % (_DEVICES, place)).decode("utf-8", "replace")
        except OSError:
            continue
        uuid = _UUID.search(text)
        if uuid is not None:
            found[os.fsencode(place).partition(b".")[0].lower()] = uuid.group(1)
    return found
