"""The user's own ssh program, with all that it knows: ssh_config, ProxyJump, agents, Kerberos, host keys."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from typing import Any

from sshjobs.errors import HostError, LocalError
from sshjobs.gjob.verbs import sshoptions
from sshjobs.model.host import Host, login_of, split_login
from sshjobs.network.payload import remote_command
from sshjobs.network.transport.base import Ending, ProcessStream, Stream, Transport, spawned
from sshjobs.network.transport.causes import (
    KEY_KINDS,
    host_error,
    last_line,
    no_agent,
    said_by_host,
)
from sshjobs.network.transport.early import Begun, taken
from sshjobs.network.transport.glance import glance_at, is_near
from sshjobs.network.transport.sshcall import SshCall, SshEnding, asks
from sshjobs.network.transport.sshlog import last_words, logged_in, said_by_ssh, said_on_the_way


class OpensshTransport(Transport):
    """One ``ssh`` process a host. ``accept_new`` is its ``StrictHostKeyChecking accept-new``."""

    name = "openssh"

    def __init__(self, ssh_config: str | None = None, *, accept_new: bool = False,
                 connect_kwargs: Mapping[str, Any] | None = None):
        super().__init__(ssh_config, accept_new=accept_new, connect_kwargs=connect_kwargs)
        #: Hosts whose ControlMaster was in the way of the latest connection; the next goes past it.
        self._past_master: set[str] = set()
        #: The ControlMaster that the latest connection to a host goes through.
        self._masters: dict[str, str | None] = {}
        #: Masters that a person has been told of.
        self._told: set[str] = set()

    async def open(self, host: Host) -> Stream:
        if shutil.which("ssh") is None:
            raise HostError("no-transport", host.name, "there is no ssh program on this machine",
                            hint="install the OpenSSH client, or use --transport fabric", lasting=True)
        begun = taken(host, self._ssh_config, accept_new=self._accept_new) or await self._begin(host)
        try:
            stream = await OpensshStream.over(begun.process)
        except (LocalError, asyncio.CancelledError):
            begun.call.close()
            raise
        call = begun.call
        stream.call, stream.patience, stream.notice = call, call.connect_timeout, self._notice(call)
        self._masters[host.name] = call.master
        return stream

    async def _begin(self, host: Host) -> Begun:
        past = host.name in self._past_master
        self._past_master.discard(host.name)

        def prepare() -> SshCall:
            return SshCall.prepare(host, self._ssh_config, accept_new=self._accept_new, past_master=past)

        asked = asks(self._ssh_config)
        call = await asyncio.get_running_loop().run_in_executor(None, prepare) if asked else prepare()
        try:
            return Begun(call, spawned(call.argv(remote_command(host.python))))
        except LocalError:
            call.close()
            raise
        except OSError as error:
            call.close()
            raise HostError("no-transport", host.name, "ssh cannot be started", why=error.strerror) from error

    def _notice(self, call: SshCall) -> str | None:
        """Return what a person is to know of a ControlMaster that is gone past: once for each."""
        jump = split_login(call.host.via).address if call.host.via is not None else ""
        new = {path: address for path, address in ((call.stuck, login_of(call.host).address), (call.jump_stuck, jump))
               if path is not None and path not in self._told}
        self._told.update(new)
        return "; ".join(f"the ControlMaster at {path} does not answer: going past it; "
                         f"{sshoptions.name_master(address, path)}" for path, address in new.items()) or None

    async def gates(self, host: Host) -> list[str]:
        return await asyncio.get_running_loop().run_in_executor(None, gates_of, host, self._ssh_config)

    def near(self, host: Host) -> bool:
        return is_near(host, self._ssh_config)

    def late(self, host: Host, seconds: float) -> HostError:
        master = self._masters.get(host.name)
        if master is None:
            return super().late(host, seconds)
        # It greets, but leads nowhere: what it is connected by may be dead.
        self._past_master.add(host.name)
        return HostError("timeout", host.name, "no agent came up in time",
                         why=f"nothing in {seconds:.0f} s through the ControlMaster at {master}",
                         hint=f"{sshoptions.name_master(login_of(host).address, master)}; trying once past it")

    def explain(self, host: Host, ending: Ending, noise: str, *, was_ready: bool) -> HostError:
        own, jump = (ending.own, ending.jump) if isinstance(ending, SshEnding) else ("", "")
        if was_ready:
            return HostError("link-lost", host.name, "the connection broke",
                             why=last_words(own) or last_line(ending.stderr), hint="trying again")
        if ending.status == 255 and not logged_in(own):
            error = (said_by_ssh(host, jump, name=host.via) or said_on_the_way(host, own, ending.stderr)
                     or said_by_ssh(host, own))
            if error is not None:
                return error
        said = f"{ending.stderr}\n{noise}"
        if (error := said_by_host(host, said)) is not None:
            return error
        if ending.status == 255:
            return host_error("ssh-failed", host, last_words(own) or last_line(said))
        return no_agent(host, said, ending.status)

    async def advise(self, host: Host, error: HostError) -> HostError:
        if error.kind not in (*KEY_KINDS, "ssh-failed"):
            return error
        try:
            # Loaded here, as most hosts can be reached.
            from sshjobs.network.transport.keyadvice import key_advice
            from sshjobs.network.transport.settings import NotAccepted, ask_ssh
        except OSError:
            # No descriptor is left to read them by.
            return error
        try:
            settings = await asyncio.get_running_loop().run_in_executor(None, ask_ssh, login_of(host),
                                                                        self._ssh_config)
        except NotAccepted as refused:
            return host_error("bad-config", host, str(refused))
        return key_advice(host, error, settings) if error.kind in KEY_KINDS else error


class OpensshStream(ProcessStream):
    """A stream over one call of ssh."""

    call: SshCall

    def _ended(self, status: int | None, stderr: str) -> Ending:
        return self.call.ending(status, stderr)


def gates_of(host: Host, ssh_config: str | None) -> list[str]:
    """Return what :meth:`Transport.gates` does, from the user's configuration. Blocks."""
    if host.via is not None:
        return [split_login(host.via).address]
    login = login_of(host)
    hostname = glance_at(ssh_config).hostname(login.address)
    if hostname is not None:
        return [hostname]
    from sshjobs.network.transport.settings import NotAccepted, ask_ssh  # most configurations say it plainly

    try:
        settings = ask_ssh(login, ssh_config)
    except NotAccepted:
        # The connection itself will tell what is wrong.
        return [login.address]
    jumps = settings.get("proxyjump", ["none"])[0]
    if jumps != "none":
        return [split_login(jump).address for jump in jumps.split(",")]
    # The same command for several hosts is likely to lead through the same machine.
    command = settings.get("proxycommand", ["none"])[0]
    return [command] if command != "none" else settings.get("hostname", [login.address])
