"""A scheduler of a few lines, as small as one can be that is asked by three commands: what it starts are processes here.

Run as a program: ``scheduler.py DIRECTORY submit NAME SCRIPT``, ``… ask``, ``… end ID…``. Files in its directory make it
do wrong: ``lose``, answers of so many submissions are lost; ``down``, it answers nothing.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path


def submit(place: Path, name: str, script: str) -> int:
    number = 1 + len(list(place.glob("job-*")))
    (place / f"job-{number}").mkdir()
    (place / f"job-{number}" / "name").write_text(name)
    with open(place / f"job-{number}" / "out", "wb") as out:
        process = subprocess.Popen([script], stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, cwd="/")
    (place / f"job-{number}" / "pid").write_text(str(process.pid))
    lose = place / "lose"
    left = int(lose.read_text()) if lose.exists() else 0
    # The first of all only tells whether nodes see the home.
    if left and not name.endswith("-0"):
        lose.write_text(str(left - 1))
        print("no answer", file=sys.stderr)
        return 1
    print(f"job-{number}.fake")
    return 0


def lives(directory: Path) -> bool:
    try:
        os.kill(int((directory / "pid").read_text()), 0)
        return not Path(f"/proc/{(directory / 'pid').read_text()}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (OSError, ValueError):
        return False


def main(words: list[str]) -> int:
    place, verb = Path(words[0]), words[1]
    if (place / "down").exists():
        print("the fake scheduler is down", file=sys.stderr)
        return 1
    if verb == "submit":
        return submit(place, *words[2:])
    if verb == "ask":
        for directory in place.glob("job-*"):
            if lives(directory):
                print(f"{directory.name}.fake", "R", (directory / "name").read_text())
    for word in words[2:] if verb == "end" else ():
        directory = place / word.removesuffix(".fake")
        if lives(directory):
            os.killpg(int((directory / "pid").read_text()), signal.SIGTERM)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
