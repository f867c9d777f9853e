"""An interactive shell on a host, in the directory of an attempt, over the user's own ssh."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence

from sshjobs.errors import HostError, LocalError
from sshjobs.model.host import Host
from sshjobs.network.payload import remote_call
from sshjobs.network.traces import host_key
from sshjobs.network.transport.causes import asked_once, only_in_run
from sshjobs.network.transport.local import python_of
from sshjobs.network.transport.openssh import OpensshTransport
from sshjobs.network.transport.sshcall import SshCall
from sshjobs.network.transport.sshlog import logged_in

#: Bytes that the variables of a job may have: what Linux takes as one argument, less the rest.
MOST_VARIABLES = 40_000
#: What ssh exits with where it failed itself.
_SSH_FAILED = 255
_MODULE = "verbs.shell"


def fits(env: Mapping[str, str]) -> bool:
    """Tell whether variables can be passed to a shell."""
    return len(json.dumps(dict(env))) <= MOST_VARIABLES


def open_shell(host: Host, run: str, uid: str, cwd: str | None, env: Mapping[str, str], gone: str, *,
               transport: str | None = None, ssh_config: str | None = None, accept_new_host_keys: bool = False,
               terminal: bool = True) -> int:
    """Have the user's login shell run on a host, with this process's standard input, output and error; return its exit
    status, more than 128 for a signal.

    :param run: uid of the run, ``uid`` that of the attempt whose directory it begins in
    :param env: variables; they have to fit
    :param gone: what the host says where that directory is not there: then it begins as a login does
    :param transport: that of the run; whatever it is, a host that is not this machine is reached by ssh
    :param terminal: a person sits at ours
    :raises HostError: ssh does not get there
    """
    if host.slurm:
        raise only_in_run(host)
    word = json.dumps({"run": run, "host": host_key(host.name), "id": uid, "cwd": cwd, "env": dict(env),
                       "gone": gone}).encode("ascii")
    if transport == "local" or (host.local and transport is None):
        return _wait([python_of(host), *remote_call(None, _MODULE, word)[1:]])
    if shutil.which("ssh") is None:
        raise HostError("no-transport", host.name, "there is no ssh program on this machine",
                        hint="install the OpenSSH client, or use --transport fabric", lasting=True)
    program, flags, *words = remote_call(host.python, _MODULE, word)
    # Each word is one for every shell: the code has no quote and no dollar in it, and the others are hex digits.
    command = f'exec {program} {flags} "{words[0]}" {" ".join(words[1:])}'
    with SshCall.prepare(host, ssh_config, accept_new=accept_new_host_keys, terminal=terminal) as call:
        status = _wait(call.argv(command))
        ending = call.ending(status, "")
    if status == _SSH_FAILED and not logged_in(ending.own):
        way = OpensshTransport(ssh_config)
        error = way.explain(host, ending, "", was_ready=False)
        raise asked_once(asyncio.run(way.advise(host, error)))
    return status


def _wait(argv: Sequence[str]) -> int:
    """Run a program to its end. An interrupt at the terminal is for it alone."""
    with _interrupts_passed_over():
        try:
            status = subprocess.Popen(argv).wait()
        except OSError as error:
            raise LocalError.of(error, "the shell cannot be started", where=os.fspath(argv[0])) from error
    return status if status >= 0 else 128 - status


@contextlib.contextmanager
def _interrupts_passed_over() -> Iterator[None]:
    # A handler and not SIG_IGN, which the program would inherit.
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
