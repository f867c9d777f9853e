#!/usr/bin/env python3
"""A far side that says the marker and then answers each frame that it is asked, as a JSON file says: by the type of the
frame, a list of what is said to the first of that type, to the second and so on; the last goes on. In what is said, a list
is a frame and the text of its body.

``answering.py FILE``, in the place of a host's Python. It needs nothing but Python.
"""

import ast
import json
import os
import sys


def main(path):
    stdin = sys.stdin.buffer
    stage = stdin.read(int(stdin.readline())).decode("ascii")
    nonce, _, _, sizes, _ = ast.literal_eval(stage.partition(" = ")[2].partition("\n")[0])
    for size in sizes:
        stdin.read(size)
    with open(path) as file:
        answers = json.load(file)
    say(b"\nSSHJOBS-READY " + nonce.encode("ascii") + b"\n")
    for line in stdin:
        frame = json.loads(line.decode("ascii"))
        said = answers.get(frame["t"], [])
        for one in said[0] if said else []:
            head, body = one if isinstance(one, list) else (one, "")
            if isinstance(head, str):
                say(head.encode("utf-8"))
                continue
            if body:
                head = dict(head, n=len(body))
            say(json.dumps(head).encode("ascii") + b"\n" + body.encode("ascii"))
        if len(said) > 1:
            said.pop(0)


def say(data):
    while data:
        data = data[os.write(1, data):]


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except BrokenPipeError:
        pass
