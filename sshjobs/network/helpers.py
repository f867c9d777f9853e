"""The seed's helpers: run a command here or there, copy files, write a file.

What counts is the exit status, never what was written to standard error. Every wait has a limit. Connections are made
by the user's own ssh and scp, which ask nothing and accept no key of a host that is not known.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import selectors
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sshjobs.errors import CommandError, HostError, UsageError, printable
from sshjobs.gjob.verbs import sshoptions
from sshjobs.inputs.hostfile import load_hosts
from sshjobs.model.given import LONGEST_S, check, check_number, check_path
from sshjobs.model.host import Host, Login, login_of
from sshjobs.network.transport.base import Ending
from sshjobs.network.transport.causes import asked_once
from sshjobs.network.transport.openssh import OpensshTransport
from sshjobs.network.transport.sshcall import SshCall

#: Seconds that a command gets by default.
TIMEOUT = 600.0
#: What a host may write to standard output, in bytes; and so much of the end of standard error is kept.
MAX_OUTPUT, STDERR_KEPT = 1 << 23, 1 << 16
#: The longest script, in bytes: it is one argument of the shell that runs it, and 128 KiB are the limit of one.
MAX_SCRIPT = 100_000
#: The first OpenSSH whose scp can be told to use SFTP, in which a path is nothing but a path.
_SFTP_SINCE = (8, 7)

# Each is one constant line that means the same to every login shell. The user's text comes on standard input, read by
# `read`, which takes no byte too much, and stands in one line: backslashes and newlines are escaped (printf %b).
# What comes before the first marker is noise of start-up files; without the second the end was not reached. A bash
# that finds itself below sshd would read them once more.
_RUN = ("exec sh -c 'exec 3<&0; IFS= read -r n; IFS= read -r s; printf \"\\n%s\\n\" \"$n\"; "
        "bash --norc -e -o pipefail -c \"$(printf %b \"$s\")\" </dev/null 3<&- & p=$!; "
        "(read -r x; kill -9 0) <&3 >/dev/null 2>&1 & w=$!; "
        "wait $p; r=$?; kill $w; printf \"\\n%s %s\\n\" \"$n\" \"$r\"'")
_WRITE = ("exec sh -c 'IFS= read -r n; IFS= read -r p; p=$(printf %b. \"$p\"); cat >\"${p%.}\"; r=$?; "
          "printf \"\\n%s\\n\\n%s %s\\n\" \"$n\" \"$n\" \"$r\"'")


def CheckLocalCommand(cmd: Sequence[str], verbose: bool = False, *, timeout: float | None = TIMEOUT) -> str:
    """Run a single command on this machine, without a shell and without input, and return its standard output.

    :param cmd: program and arguments
    :param verbose: tell on standard error what is run and what it says there
    :param timeout: seconds after which it is killed with all that it started in its session; ``None`` is no limit
    :return: text; bytes that are not UTF-8 as lone surrogates
    :raises CommandError: it could not be started, ran out of time or did not exit with 0
    """
    words = _words(cmd)
    _check_timeout(timeout)
    status, out, err = _carry_out(words, b"", timeout, verbose)
    if status != 0:
        raise CommandError(_how_it_ended(status), status=status, where=shlex.join(words)[:200], why=_last_line(err))
    return _text(out)


def CheckRemoteCommands(host: str, cmds: str | Sequence[str], verbose: bool = False, *,
                        timeout: float | None = TIMEOUT, ssh_config: str | None = None) -> str:
    """Run commands on a host over ssh, in one shell (``bash -e -o pipefail``), and return their standard output.

    It has ended when all that could still write to its output has. When the time is over, or the connection breaks,
    what runs there of it is killed, but for what has left its process group.

    :param host: ``[user@]host[:port]``, as in a hosts file
    :param cmds: lines of a script
    :param ssh_config: path of an ssh configuration to use instead of the user's own
    :return: as :func:`CheckLocalCommand`, 8 MiB at most; what start-up files of the login shell print is not in it
    :raises CommandError: the host could not be used, time ran out, the exit status is not 0, or it writes too much
    :raises UsageError: no host name, or a script that cannot be sent
    """
    _check_timeout(timeout)
    check_path("ssh_config", ssh_config, none=True)
    script = cmds if isinstance(cmds, str) else "\n".join(_words(cmds))
    if "\0" in script or len(script.encode("utf-8", "surrogateescape")) > MAX_SCRIPT:
        raise UsageError("the commands cannot be sent", why=f"at most {MAX_SCRIPT:,} bytes, none of them NUL",
                         hint="send a file and run that")
    target = _host(host)
    status, out, err = _converse(target, _RUN, script, b"", timeout, verbose, ssh_config, keep_open=True)
    if status != 0:
        raise CommandError(_how_it_ended(status), status=status, where=host, why=_last_line(err))
    return _text(out)


def CopyLocalFilesToRemoteHost(host: str, remote_path: str, *files: str, ssh_config: str | None = None,
                               **check_opts: Any) -> str:
    """Copy files and directories to a host by scp. Without files nothing happens.

    Start-up files of the login shell must not print anything there: scp takes it for its own.

    :param host: ``[user@]host[:port]``, as in a hosts file
    :param remote_path: directory on the host, which is there already; relative to the home
    :param files: paths on this machine, whatever is in their names
    :param check_opts: options of :func:`CheckLocalCommand`: ``verbose``, ``timeout``
    :return: what scp printed, which is nothing
    :raises CommandError: a file could not be copied
    :raises UsageError: no host name, or a file that is not there
    """
    verbose, timeout = check_opts.pop("verbose", False), check_opts.pop("timeout", TIMEOUT)
    if check_opts:
        raise UsageError(f"CheckLocalCommand takes no {next(iter(check_opts))!r:.60}",
                         hint="it takes verbose and timeout")
    _check_timeout(timeout)
    check_path("ssh_config", ssh_config, none=True)
    target = _host(host)
    if not files:
        return ""
    for file in files:
        check_path("each of files", file)
        if not os.path.exists(file):
            raise UsageError("there is no such file to copy", where=str(file))
    login = login_of(target)
    words = ["scp", "-B", "-r"]
    folder = _remote_path(remote_path).rstrip("/") + "/" if remote_path not in ("", ".", "~") else "./"
    if sshoptions.version() >= _SFTP_SINCE:
        words.append("-s")
    else:
        # The old protocol hands the path to the host's shell.
        folder = shlex.quote(folder)
    words += ["-F", ssh_config] if ssh_config is not None else []
    # But for one: with SFTP scp does not ask for a command.
    with SshCall.prepare(target, ssh_config) as call:
        options = {option: value for option, value in call.all_options.items() if option != "SessionType"}
    words += sshoptions.words_of({**options, "LogLevel": "ERROR"})
    words += ["-P", str(login.port)] if login.port is not None else []
    # From the root: scp would take "a:b" for a host, and "-r" for an option.
    words += ["--", *(os.path.abspath(file) for file in files), f"{_destination(login)}:{folder}"]
    status, out, err = _carry_out(words, b"", timeout, verbose, where=host, most=MAX_OUTPUT)
    if status != 0:
        # What scp passes on may be ssh's own or the host's; ssh alone tells which.
        known = _why_not(target, ssh_config) if status == 255 else None
        if known is None:
            raise CommandError("the files were not copied", status=status, where=host, why=_last_line(err))
        raise CommandError(known.what, where=host, why=known.why, hint=known.hint)
    return _text(out)


def WriteRemoteFile(host: str, remote_path: str, contents: str | bytes, verbose: bool = False, *,
                    timeout: float | None = TIMEOUT, ssh_config: str | None = None) -> str:
    """Write data to a file on a host; one that is there is overwritten.

    When it fails the file may hold a part of the data.

    :param host: ``[user@]host[:port]``, as in a hosts file
    :param remote_path: path of the file, nothing in which is special; relative to the home
    :param contents: text is written as UTF-8
    :return: an empty text
    :raises CommandError: the host could not be used, time ran out, or it could not be written
    :raises UsageError: no host name
    """
    check("contents", contents, str, bytes, bytearray, memoryview)
    _check_timeout(timeout)
    check_path("ssh_config", ssh_config, none=True)
    data = contents.encode("utf-8", "surrogateescape") if isinstance(contents, str) else bytes(contents)
    status, out, err = _converse(_host(host), _WRITE, _remote_path(remote_path), data, timeout, verbose, ssh_config)
    if status != 0:
        raise CommandError("the file could not be written", status=status, where=f"{host}:{remote_path}",
                           why=_last_line(err), hint="see that its directory is there, and may be written to")
    return _text(out)


# -- running ssh and scp ---------------------------------------------------------------------------------------------


def _converse(host: Host, command: str, text: str, data: bytes, timeout: float | None, verbose: bool,
              ssh_config: str | None, *, keep_open: bool = False) -> tuple[int, bytes, bytes]:
    """Run a constant command on a host, with a text and data for it; return what :func:`_carry_out` does."""
    marker = f"sshjobs-{secrets.token_hex(16)}".encode()
    line = text.replace("\\", "\\\\").replace("\n", "\\n").encode("utf-8", "surrogateescape")
    with SshCall.prepare(host, ssh_config) as call:
        status, out, err = _carry_out(call.argv(command), marker + b"\n" + line + b"\n" + data, timeout, verbose,
                                      keep_open=keep_open, where=host.name, most=MAX_OUTPUT,
                                      what=text if command == _RUN else f"write {text}")
        ending = call.ending(status, err.decode("utf-8", "replace"))
    before, began, rest = out.partition(b"\n" + marker + b"\n")
    end = re.search(rb"\n%s ([0-9]{1,3})\n" % marker, rest)
    if end is not None:
        return int(end[1]), rest[:end.start()], err
    if began:
        raise CommandError("the connection broke before the end", where=host.name, why=_last_line(err))
    cause = _explain(host, ssh_config, ending, before.decode("utf-8", "replace"))
    what = cause.what if cause.kind != "no-agent" else "it did not run the command"
    raise CommandError(what, where=host.name, why=cause.why, hint=cause.hint if cause.kind != "no-agent" else None)


def _why_not(host: Host, ssh_config: str | None) -> HostError | None:
    """Return why ssh cannot log in to a host, ``None`` where it can."""
    with SshCall.prepare(host, ssh_config) as call:
        status, _, err = _carry_out(call.argv("true"), b"", TIMEOUT, verbose=False, where=host.name, most=MAX_OUTPUT)
        ending = call.ending(status, err.decode("utf-8", "replace"))
    return _explain(host, ssh_config, ending) if status == 255 else None


def _explain(host: Host, ssh_config: str | None, ending: Ending, noise: str = "") -> HostError:
    return asked_once(OpensshTransport(ssh_config).explain(host, ending, noise, was_ready=False))


def _carry_out(argv: Sequence[str], data: bytes, timeout: float | None, verbose: bool, *, keep_open: bool = False,
               where: str | None = None, what: str | None = None,
               most: int | None = None) -> tuple[int, bytes, bytes]:
    """Run a program in a session of its own; return its exit status, standard output and the end of standard error.

    :param keep_open: its standard input does not end before it does
    :param where: what to call it in messages
    :param most: bytes of standard output that it may write
    :raises CommandError: it could not be started, or did not keep to its limits: it was killed
    """
    name = where or shlex.join(argv)[:200]
    if verbose:
        print(printable(f"sshjobs: {where or 'here'}: {what or shlex.join(argv)}"), file=sys.stderr)
    source, sink = os.pipe()
    try:
        process = subprocess.Popen(list(argv), stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   start_new_session=True)
    except (OSError, ValueError) as error:
        os.close(sink)
        raise CommandError("it could not be started", where=name, why=getattr(error, "strerror", None) or str(error),
                           hint=f"see that {argv[0]} is installed") from error
    finally:
        os.close(source)
    feeder = threading.Thread(target=_feed, args=(sink, data, keep_open), name="sshjobs-feed", daemon=True)
    feeder.start()
    try:
        out, err = _outputs(process, name, timeout, most)
    finally:
        if process.returncode is None:
            # Nobody has waited for it, so its number, and that of its group, are still its own.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()
        feeder.join()
        if keep_open:
            os.close(sink)
    if verbose and err:
        print(printable(f"sshjobs: {where or 'here'}: {err.decode('utf-8', 'replace').strip()}"), file=sys.stderr)
    return process.returncode, out, err


def _outputs(process: subprocess.Popen[bytes], name: str, timeout: float | None,
             most: int | None) -> tuple[bytes, bytes]:
    """Return what a process writes, when it has ended and nobody can write any more."""
    deadline = None if timeout is None else time.monotonic() + timeout
    out, err = bytearray(), bytearray()
    with selectors.DefaultSelector() as open_ones:
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            open_ones.register(stream, selectors.EVENT_READ)
        while open_ones.get_map():
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise _out_of_time(name, timeout)
            for key, _ in open_ones.select(left):
                data = os.read(key.fd, 1 << 16)
                if not data:
                    open_ones.unregister(key.fileobj)
                elif key.fileobj is process.stderr:
                    err += data
                    del err[:-STDERR_KEPT]
                else:
                    out += data
                if most is not None and len(out) > most:
                    raise CommandError("it writes too much", where=name, why=f"more than {most >> 20} MiB",
                                       hint="have it write to a file, or run it as a job: sshjobs exec")
    try:
        process.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise _out_of_time(name, timeout) from None
    return bytes(out), bytes(err)


def _out_of_time(name: str, timeout: float | None) -> CommandError:
    return CommandError("it ran out of time", where=name, why=f"{timeout:g} s are over",
                        hint="give it a longer timeout")


def _feed(sink: int, data: bytes, keep_open: bool) -> None:
    with contextlib.suppress(OSError):
        view = memoryview(data)
        while view:
            view = view[os.write(sink, view):]
    if not keep_open:
        os.close(sink)


# -- words -----------------------------------------------------------------------------------------------------------


def _check_timeout(timeout: object) -> None:
    check_number("timeout", timeout, 0, LONGEST_S, above=True, none=True)


def _host(name: str) -> Host:
    check("host", name, str)
    found = load_hosts([name])
    if len(found) != 1 or found[0].name != name:
        raise UsageError(f"{name!r:.60} is not one host", hint="write [user@]host[:port]")
    return found[0]


def _words(cmd: Sequence[str]) -> list[str]:
    listed = isinstance(cmd, Iterable) and not isinstance(cmd, (str, bytes, Mapping))
    if not listed or not cmd or not all(isinstance(word, str) for word in cmd):
        raise UsageError("a command is a list of words", why=f"got {cmd!r}"[:200], hint="write ['ls', '-l']")
    return list(cmd)


def _remote_path(path: str) -> str:
    check("the path on the host", path, str)
    if not path or "\0" in path:
        raise UsageError("the path on the host cannot be used", where=repr(path))
    return path.removeprefix("~/") or "."


def _destination(login: Login) -> str:
    address = f"[{login.address}]" if ":" in login.address else login.address
    return address if login.user is None else f"{login.user}@{address}"


def _how_it_ended(status: int) -> str:
    return f"it was ended by signal {-status}" if status < 0 else f"it ended with status {status}"


def _last_line(err: bytes) -> str | None:
    lines = [line.strip() for line in err.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1][:200] if lines else None


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
