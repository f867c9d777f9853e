"""One call of the ssh program: its command line up to the destination, and what it says of its own when it ends."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sshjobs.gjob.verbs import sshoptions
from sshjobs.model.host import Host, Login, login_of, split_login
from sshjobs.network.transport.base import Ending
from sshjobs.network.transport.glance import glance_at
from sshjobs.network.transport.sshlog import LOG_LEVEL, SshLog

#: What of the user's configuration has to be known before ssh is called, in small letters.
MATTERS = (*(option.lower() for option in sshoptions.DEFAULTS), "controlpath")
_NEWER = frozenset(option.lower() for option in sshoptions.SINCE_8_7)

Settings = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class SshEnding(Ending):
    """How a call of ssh ended.

    :ivar own: what ssh said of its own, whatever the host said
    :ivar jump: the same of the ssh that goes through a management host
    """

    own: str = ""
    jump: str = ""


@dataclass(eq=False, repr=False)
class SshCall:
    """A call of ssh to one host. :meth:`close` or :meth:`ending` removes its files.

    :ivar settings: what ``ssh -G`` tells of the host, empty where nothing of it matters
    :ivar master: control path of a ControlMaster of the user's that is used
    :ivar stuck: the same of one that does not answer, and so is gone past
    :ivar jump_stuck: the same of one to the management host
    :ivar terminal: a person sits at ours, and the host is to have one for what it runs
    """

    host: Host
    ssh_config: str | None
    options: dict[str, str]
    settings: Settings = field(default_factory=dict)
    jump_settings: Settings = field(default_factory=dict)
    master: str | None = None
    stuck: str | None = None
    jump_stuck: str | None = None
    terminal: bool = False
    log: SshLog = field(default_factory=SshLog)
    jump_log: SshLog | None = None

    @classmethod
    def prepare(cls, host: Host, ssh_config: str | None, *, accept_new: bool = False,
                past_master: bool = False, terminal: bool = False) -> SshCall:
        """Find out what matters of the user's configuration. Blocks where :func:`asks` tells so.

        :param accept_new: accept keys that ssh has never seen, and note them
        :param past_master: use no ControlMaster
        :param terminal: see the class
        """
        silent = frozenset[str]() if glance_at(ssh_config).mentions(_NEWER) else _NEWER
        options = {**sshoptions.safe_options(terminal, silent), "LogLevel": LOG_LEVEL}
        if accept_new:
            options["StrictHostKeyChecking"] = sshoptions.ACCEPT_NEW
        call = cls(host, ssh_config, options, settings_that_matter(login_of(host), ssh_config),
                   terminal=terminal)
        if host.via is not None:
            call.jump_settings, call.jump_log = settings_that_matter(split_login(host.via), ssh_config), SshLog()
            call.jump_stuck = _stuck(call.jump_settings)
        call.master = sshoptions.control_path(call.settings)
        if call.master is not None and (past_master or not sshoptions.master_answers(call.master)):
            call.master, call.stuck = None, call.master
        return call

    @property
    def connect_timeout(self) -> float:
        """Seconds that the way to the host may take, as far as the user says so; 0 where it is ours."""
        return connect_timeout(self.settings) + connect_timeout(self.jump_settings)

    @property
    def all_options(self) -> dict[str, str]:
        """The options for the host that are not the user's."""
        master = {} if self.stuck is None else {"ControlPath": "none"}
        return {**self.options, **sshoptions.defaults(self.settings), **master}

    def argv(self, command: str) -> list[str]:
        """Return the command line for a remote command, in which no shell can take anything for something else."""
        words = ["ssh", "-t" if self.terminal else "-T", "-a", "-x",
                 *self._words(login_of(self.host), self.all_options, self.log)]
        if self.host.via is not None:
            words += ["-o", f"ProxyCommand={self._through(split_login(self.host.via))}"]
        return [*words, "--", login_of(self.host).address, command]

    def ending(self, status: int | None, stderr: str) -> SshEnding:
        """Return how the call ended."""
        return SshEnding(status, stderr, self.log.take(), self.jump_log.take() if self.jump_log is not None else "")

    def __enter__(self) -> SshCall:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the files. Idempotent."""
        self.ending(None, "")

    def _words(self, login: Login, options: Mapping[str, str], log: SshLog) -> list[str]:
        words = ["-F", self.ssh_config] if self.ssh_config is not None else []
        words += ["-E", log.path, *sshoptions.words_of(options)]
        if login.user is not None:
            words += ["-l", login.user]
        if login.port is not None:
            words += ["-p", str(login.port)]
        return words

    def _through(self, manager: Login) -> str:
        # Not -J: the ssh that it starts takes none of our options, so it could ask, or wait for ever.
        assert self.jump_log is not None
        master = {} if self.jump_stuck is None else {"ControlPath": "none"}
        options = {**self.options, **sshoptions.defaults(self.jump_settings), **master}
        words = [*self._words(manager, options, self.jump_log), "-W", "[%h]:%p", "--", manager.address]
        # The shell is the user's own, whatever it is; ssh itself replaces %.
        quoted = (word if word == "[%h]:%p" else word.replace("%", "%%") for word in words)
        return "ssh " + " ".join(shlex.quote(word) for word in quoted)


def asks(ssh_config: str | None) -> bool:
    """Tell whether ssh has to be asked before it is called, which takes a moment."""
    return glance_at(ssh_config).mentions(MATTERS)


def _stuck(settings: Settings) -> str | None:
    """Return the control path of a ControlMaster that does not answer."""
    path = sshoptions.control_path(settings)
    return None if path is None or sshoptions.master_answers(path) else path


def connect_timeout(settings: Settings) -> float:
    """Return the seconds that a user gives a connection, 0 where the configuration does not say."""
    value = settings.get("connecttimeout", ["none"])[0]
    return float(value) if value.isdigit() and len(value) < 6 else 0.0


def settings_that_matter(login: Login, ssh_config: str | None) -> Settings:
    """Return what ``ssh -G`` tells of a host; nothing where all that matters is known to be unsaid."""
    if not asks(ssh_config):
        return {}
    from sshjobs.network.transport.settings import NotAccepted, ask_ssh  # most configurations need not ask

    try:
        return ask_ssh(login, ssh_config)
    except NotAccepted:
        # The connection itself will tell what is wrong.
        return {}
