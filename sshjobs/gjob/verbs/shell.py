"""A shell in the directory of an attempt. It travels as the text of a command, so it imports nothing of ours, and its
standard input is the user's.
"""

import json
import os
import pwd
import stat
import sys


def main(word: str) -> None:
    """Become the user's login shell, in the directory where that is there, else where a login begins.

    :param word: in hex digits, an object in JSON: ``run``, ``host`` and ``id`` of the attempt, its ``cwd``, variables
        (``env``), and ``gone``, what is said where the directory is not there
    """
    wish = json.loads(bytes.fromhex(word).decode("ascii"))
    me = pwd.getpwuid(os.getuid())
    env = dict(os.environb)
    home = env.get(b"HOME") or os.fsencode(me.pw_dir)
    directory = find(wish, home)
    try:
        os.chdir(directory or home)
    except OSError:
        directory = None
    if directory is None:
        os.write(2, as_bytes(wish["gone"]) + b"\n")
    else:
        env.update((as_bytes(name), as_bytes(value)) for name, value in wish["env"].items())
        env[b"PWD"] = directory
    shell = os.fsencode(me.pw_shell or "/bin/sh")
    sys.stdout.flush()
    os.execve(shell, [b"-" + os.path.basename(shell)], env)


def find(wish: "dict[str, str]", home: bytes) -> "bytes | None":
    """Return the directory that the attempt runs in, or ran in; ``None`` where it is not there."""
    cwd = as_bytes(wish["cwd"] or "")
    if cwd == b"~" or cwd.startswith(b"~/"):
        cwd = home + cwd[1:]
    if cwd.startswith(b"/"):
        return cwd if os.path.isdir(cwd) else None
    for root in (os.path.join(home, b".sshjobs"), b"/var/tmp/sshjobs-%d" % os.getuid()):
        base = os.path.join(root, *[as_bytes(wish[key]) for key in ("run", "host")])
        path = os.path.join(base, b"w", as_bytes(wish["id"]))
        inside = os.path.join(path, cwd) if cwd else path
        if is_own(base) and os.path.isdir(path) and os.path.isdir(inside):
            return inside
    return None


def is_own(path: bytes) -> bool:
    """Tell whether a directory is there that nobody else can have made."""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022


def as_bytes(text: str) -> bytes:
    """Return a text as hosts have it, whatever their locale."""
    return text.encode("utf-8", "surrogateescape")
