#!/usr/bin/env python3
"""A far side that says the marker and then what a test wants: ``far_side.py SCENARIO [WORD]``, in the place of a host's
Python (``python=`` in a hosts file). It needs nothing but Python, as it is run on hosts.

Scenarios: ``say`` (the frames of the file WORD, once), ``repeat`` (the first frames of the file WORD once, then its last
one again and again, ``COUNT`` times in all or for ever), ``noise`` and ``stderr`` (text without end), ``answer`` (an answer of a verb without end),
``line`` and ``body`` (a frame that goes on and on). After what it has to say it is silent, and answers pings.
"""

import ast
import json
import os
import sys
import zlib

WELCOME = {"t": "welcome", "v": 1, "pid": 7, "boot": "b", "pidns": 1, "machine": "hostile", "hostname": "hostile",
           "python": "3.9.0", "cores": 2, "memory": 1 << 30, "gpus": [], "clock": 1.7e9, "disk": 1 << 30, "root": "/r",
           "home": "/h", "resumed": False}


def line(frame):
    return json.dumps(frame).encode("ascii") + b"\n"


def out(data, off=0, uid="1.1", **keys):
    return line(dict({"t": "out", "id": uid, "s": 1, "off": off, "n": len(data), "crc": zlib.crc32(data)}, **keys)) + data


def first_stage():
    """Read what comes first, and return the nonce in it."""
    stdin = sys.stdin.buffer
    stage = stdin.read(int(stdin.readline())).decode("ascii")
    nonce, _, _, sizes, _ = ast.literal_eval(stage.partition(" = ")[2].partition("\n")[0])
    for size in sizes:
        stdin.read(size)
    return nonce


def write(data):
    while data:
        data = data[os.write(1, data):]


def listen():
    """Answer pings until nobody talks any more."""
    for said in sys.stdin.buffer:
        try:
            frame = json.loads(said.decode("ascii"))
        except ValueError:
            continue
        if frame.get("t") == "ping":
            write(line({"t": "pong", "seq": frame["seq"]}))


def main(scenario, word="", count="0"):
    nonce = first_stage()
    write(b"\nSSHJOBS-READY " + nonce.encode("ascii") + b"\n")
    if scenario in ("say", "repeat"):
        with open(word, "rb") as file:
            said = file.read()
        if scenario == "repeat":
            # The last frame, without a body, is what is repeated; {n} in it counts.
            first, _, last = said.rstrip(b"\n").rpartition(b"\n")
            write(first + b"\n" if first else b"")
            flood(last + b"\n", int(count))
        else:
            write(said)
    elif scenario == "line":
        write(line(WELCOME) + b'{"t":"warn","msg":"')
        flood(b"x" * 4096, 0)
    elif scenario == "noise":
        flood(b"noise " * 1000, 0)
    elif scenario == "stderr":
        os.dup2(2, 1)
        flood(b"noise on standard error\n" * 1000, 0)
    elif scenario == "answer":
        flood(b"\0" + b"x" * 65536, 0)
    listen()


def flood(piece, count):
    """Say something again and again, in large pieces; ``@`` in it becomes a number that grows."""
    said = 0
    while not count or said < count:
        many = min(1000, count - said) if count else 1000
        if b"@" in piece:
            write(b"".join(piece.replace(b"@", b"%d" % (said + n + 1)) for n in range(many)))
        else:
            write(piece * many if len(piece) < 1000 else piece)
        said += many if len(piece) < 1000 else 1


if __name__ == "__main__":
    main(*sys.argv[1:])
