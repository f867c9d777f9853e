"""Why a program could not be started, in words, with what to do. Imported only after a failure."""

import errno
import os

from . import files, system

MYPY = False
if MYPY:
    from typing import Dict

_HEAD = 4096
_SHOWN = 300
#: Words that bash itself carries out: programs of these names do not exist, or are of no use.
_SHELL_WORDS = frozenset((b". : [[ alias bg bind break builtin caller case cd command compgen complete continue "
                          b"declare dirs disown do done elif else esac eval exec exit export fc fg fi for function "
                          b"getopts hash history if jobs let local logout mapfile popd pushd read readarray readonly "
                          b"return select set shift shopt source suspend then time times trap type typeset ulimit "
                          b"umask unalias unset until wait while { (").split())


def program(error: OSError, name: bytes, env: "Dict[bytes, bytes]") -> str:
    """Say why a program cannot be started. Relative names mean the present directory.

    :param error: of the attempt to start it
    :param name: as the job names it
    :param env: of the job
    """
    shown = os.fsdecode(name[:_SHOWN])
    if error.errno == errno.E2BIG:
        return "its arguments and environment are too long for this host"
    if error.errno == errno.ENOEXEC:
        return "%s cannot be executed: neither a program for this machine nor a script with #!" % shown
    if error.errno == errno.ELOOP:
        return "%s is a link that leads in a circle" % shown
    if files.kind(name) == files.DIRECTORY:
        return "%s is a directory, not a program" % shown
    if error.errno == errno.EACCES:
        return _not_allowed(name, shown)
    if error.errno not in (errno.ENOENT, errno.ENOTDIR):
        return "%s cannot be started: %s" % (shown, error.strerror)
    if b"/" not in name:
        return "no such program: %s%s" % (shown, _not_found(name, shown, env))
    if files.kind(name) == files.FILE:
        return _no_interpreter(name, shown)
    if files.kind(name, follow=False) == files.LINK:
        target = os.fsdecode(system.readlink(name)[:_SHOWN])
        return "no such program: %s is a link to %s, which is not there" % (shown, target)
    if name.startswith(b"~"):
        return "no such program: %s; ~ is not expanded in argv: write the whole path, or use commands" % shown
    if b"$" in name:
        return "no such program: %s; variables are not expanded in argv: write commands, a line of shell" % shown
    if not name.startswith(b"/"):
        return "no such program: %s; a job runs in a directory of its own: send the file too (files, --send)" % shown
    return "no such program: %s" % shown


def is_missing(error: OSError, name: bytes) -> bool:
    """Tell whether there is no such program, as a shell says by its status 127."""
    return error.errno in (errno.ENOENT, errno.ENOTDIR) and (b"/" not in name or files.kind(name) is None)


def directory(cwd: str, path: bytes) -> str:
    """Say why a job cannot work in a directory that is none.

    :param cwd: as the job names it
    :param path: where that leads
    """
    shown = os.fsdecode(path[:_SHOWN])
    if files.kind(path):
        return "not a directory: %s" % shown
    if "$" in cwd:
        return "no such directory: %s; variables are not expanded in cwd: write ~ or the whole path" % shown
    if not cwd.startswith("/") and not cwd.startswith("~"):
        return "no such directory: %s; a relative cwd is within the job's own directory: write the whole path" % shown
    return "no such directory: %s" % shown


def _not_found(name: bytes, shown: str, env: "Dict[bytes, bytes]") -> str:
    """Return what to add where no directory of PATH has a program."""
    if files.kind(name) == files.FILE:
        return "; it lies in the working directory: write ./%s" % shown
    if name in _SHELL_WORDS:
        return "; that is a word of the shell: write the whole line as one text (commands; for exec, in quotes)"
    if any(letter in name for letter in b" \t\n"):
        return "; that is a line, not one word: write it as commands, or each word of it by itself"
    if b"=" in name:
        return "; only a shell sets variables so: write env, or the whole line as one text"
    if b"$" in name:
        return "; variables are not expanded in argv: write commands, a line of shell"
    if name.startswith(b"~"):
        return "; ~ is not expanded in argv: write the whole path, or use commands"
    return "; PATH is %s" % os.fsdecode(env.get(b"PATH", os.fsencode(os.defpath))[:_SHOWN])


def _not_allowed(name: bytes, shown: str) -> str:
    try:
        mode = system.stat(name).st_mode
    except OSError:
        return "not allowed to run %s: a directory on its way may not be entered" % shown
    if mode & 0o111:
        return "not allowed to run %s; see its mode, and noexec" % shown
    first = _first_line(name)
    by = os.fsdecode(first[2:].split()[0]) if first[:2] == b"#!" and first[2:].split() else "bash"
    return "not allowed to run %s: it has no execute bit; chmod +x it, or run it as: %s %s" % (shown, by, shown)


def _no_interpreter(name: bytes, shown: str) -> str:
    """Say why a file that exists cannot be run: its interpreter or loader is missing."""
    first = _first_line(name)
    if first[:2] != b"#!":
        return "%s cannot be executed: the loader that it asks for is not on this host" % shown
    words = first[2:].strip(b" \t").split(b" ")
    by = words[0]
    if first.endswith(b"\r"):
        text = os.fsdecode(by.rstrip(b"\r"))
        return ("the first line of %s names %s\\r: the file has Windows line ends; take them out: sed -i 's/\\r$//' %s"
                % (shown, text, shown))
    if files.kind(by):
        return "%s cannot be started: %s, which its first line names, cannot be executed" % (shown, os.fsdecode(by))
    if not by.startswith(b"/"):
        return "the first line of %s names %s; write the whole path there, or #!/usr/bin/env %s" % (
            shown, os.fsdecode(by), os.fsdecode(by))
    return "the first line of %s names %s, which is not on this host; correct it, or install that" % (
        shown, os.fsdecode(by[:_SHOWN]))


def _first_line(name: bytes) -> bytes:
    try:
        fd = system.open(name, os.O_RDONLY | os.O_NONBLOCK)
        try:
            return system.read(fd, _HEAD).split(b"\n")[0]
        finally:
            files.close_quietly(fd)
    except OSError:
        return b""
