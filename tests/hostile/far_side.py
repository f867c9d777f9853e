#!/usr/bin/env python3
"""A far side that says the marker and then what a test wants: ``far_side.py SCENARIO [WORD]``, in the place of a host's
Python (``python=`` in a hosts file). It needs nothing but Python, as it is run on hosts.

Scenarios, after each of which it is silent and answers pings:

- ``say``: what is in the file WORD, once;
- ``repeat``: the same, but its last line again and again, COUNT times or for ever. ``@`` in that is a number that grows;
- ``drip``: output of attempt WORD, byte by byte, COUNT bytes or for ever;
- ``banner``, ``stderr``: text without end, before the marker and on standard error;
- ``line``: a frame that goes on and on; ``answer``: an answer of a verb that does;
- ``garbled``: an answer that ends with something else than an exit status.
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
    if scenario == "banner":
        flood(b"noise " * 1000, int(count))
    write(b"\nSSHJOBS-READY " + nonce.encode("ascii") + b"\n")
    if scenario == "stderr":
        os.dup2(2, 1)
        flood(b"noise on standard error\n" * 1000, int(count))
    elif scenario == "answer":
        flood(b"\0" + b"x" * 65536, int(count))
    elif scenario == "garbled":
        write(b"\0SSHJOBS-END " + nonce.encode("ascii") + b" soon\0")
    elif scenario == "line":
        write(line(WELCOME) + b'{"t":"warn","msg":"')
        flood(b"x" * 4096, int(count))
    elif scenario == "drip":
        write(line(WELCOME))
        drip(word, int(count))
    else:
        with open(word, "rb") as file:
            said = file.read()
        if scenario == "repeat":
            first, _, last = said.rstrip(b"\n").rpartition(b"\n")
            write(first + b"\n")
            flood(last + b"\n", int(count))
        else:
            write(said)
    listen()


def drip(uid, count):
    """Bring the output of an attempt in the smallest pieces that there are."""
    while not any(b'"launch"' in said and uid.encode("ascii") in said for said in sys.stdin.buffer):
        pass
    said = 0
    while not count or said < count:
        write(b"".join(out(b"x", off=said + n, uid=uid) for n in range(1000)))
        said += 1000


def flood(piece, count):
    """Say something again and again, in large pieces."""
    said, many = 0, max(1, 65536 // len(piece))
    while not count or said < count:
        if b"@" in piece:
            write(b"".join(piece.replace(b"@", b"%d" % (said + n + 1)) for n in range(many)))
        else:
            write(piece * many)
        said += many


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except BrokenPipeError:
        pass
