"""What the user's ssh configuration says about a host, as ``ssh -G`` tells it."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sshjobs.errors import SshjobsError
from sshjobs.gjob.verbs import sshoptions
from sshjobs.model.host import Login, split_login

#: Where keys of hosts are looked for when no ssh is there to say so.
KNOWN_HOSTS = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2", "/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")
#: What says which algorithms may be used, as ``ssh -G`` calls it: lists without the marks (+, -, ^) of ssh_config.
ALGORITHMS = ("hostkeyalgorithms", "kexalgorithms", "ciphers", "macs")
_IDENTITIES = ("~/.ssh/id_rsa", "~/.ssh/id_ecdsa", "~/.ssh/id_ed25519")


@dataclass(frozen=True)
class SshSettings:
    """How to reach one host.

    :ivar hostname: name or address to connect to
    :ivar family: ``any``, ``inet`` or ``inet6``
    :ivar key_name: name that its key is filed under in known_hosts, ``None`` for hostname and port
    :ivar jumps: logins of the hosts to go through, the nearest to us first
    :ivar proxy_command: command whose standard input and output lead to it, ``None`` for a TCP connection
    :ivar identity_files: private keys to try, those that exist
    :ivar use_agent: keys of the ssh agent may be tried
    :ivar known_hosts: files with the keys of hosts, the user's before the system's
    :ivar revoked: file of the keys that no host may show, ``None`` where there is none
    :ivar hash_known: a name is hidden where a new key is noted
    :ivar algorithms: what may be used, by ssh's keyword; nothing where that is not said
    :ivar connect_timeout: seconds that the user gives a connection, ``None`` where ours count
    :ivar public_keys: the user lets keys be tried
    """

    hostname: str
    user: str
    port: int
    family: str
    key_name: str | None
    jumps: tuple[Login, ...]
    proxy_command: str | None
    identity_files: tuple[str, ...]
    use_agent: bool
    known_hosts: tuple[str, ...]
    revoked: str | None = None
    hash_known: bool = False
    algorithms: Mapping[str, Sequence[str]] = field(default_factory=dict)
    connect_timeout: float | None = None
    public_keys: bool = True


class NotAccepted(SshjobsError):
    """ssh does not accept its configuration."""


def ask_ssh(login: Login, config: str | None) -> dict[str, list[str]]:
    """Return what ``ssh -G`` prints, each keyword with its values. Blocks.

    :raises NotAccepted: ssh refuses its configuration, or gives no answer
    """
    words = ["-F", config] if config is not None else []
    words += ["-l", login.user] if login.user is not None else []
    words += ["-p", str(login.port)] if login.port is not None else []
    try:
        done = sshoptions.ask(words, login.address)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotAccepted("ssh -G gives no answer", why=str(error)) from error
    if done.returncode != 0:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"status {done.returncode}"]
        raise NotAccepted(lines[0])
    return sshoptions.parse_settings(done.stdout.decode("utf-8", "surrogateescape"))


def settings_of(login: Login, config: str | None) -> SshSettings:
    """Return the settings for a login. Blocks; looks up no name.

    Where no ssh is on this machine the file is read by paramiko, which knows no ``Include``.

    :param config: path of a configuration file to use instead of the user's own
    :raises NotAccepted: the configuration cannot be used
    """
    raw = ask_ssh(login, config) if shutil.which("ssh") else _without_ssh(login, config)

    def first(key: str) -> str | None:
        value = raw.get(key, ["none"])[0]
        return None if value.lower() == "none" else value

    hostname = (first("hostname") or login.address).lower()
    user = login.user or first("user") or _this_user()
    port = login.port or int(first("port") or 22)
    tokens = _tokens(login, hostname, user, port, first("hostkeyalias"))
    jumps = tuple(split_login(_uri(hop)) for hop in (first("proxyjump") or "").split(",") if hop)
    command = first("proxycommand")
    identities = raw.get("identityfile") or list(_IDENTITIES)
    known = [path for key in ("userknownhostsfile", "globalknownhostsfile") for path in (first(key) or "").split()]
    return SshSettings(
        hostname, user, port, first("addressfamily") or "any", first("hostkeyalias"), jumps,
        command and expand(command, tokens),
        tuple(_existing(identities, tokens)),
        # Another agent than that of the environment cannot be asked.
        first("identitiesonly") != "yes" and raw.get("identityagent", ["SSH_AUTH_SOCK"]) == ["SSH_AUTH_SOCK"],
        tuple(os.path.expanduser(expand(path, tokens)) for path in known or KNOWN_HOSTS),
        _path(first("revokedhostkeys"), tokens), first("hashknownhosts") == "yes",
        {key: raw[key][0].split(",") for key in ALGORITHMS if shutil.which("ssh") and key in raw},
        _seconds(first("connecttimeout")), first("pubkeyauthentication") not in ("no", "false"))


def _this_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container's: a number without a name.
        return str(os.getuid())


def expand(text: str, tokens: Mapping[str, str]) -> str:
    """Replace the tokens (``%h``) of ssh_config; one that is not known stays as it is."""
    return re.sub(r"%(.)", lambda match: tokens.get(match[1], match[0]), text)


def _tokens(login: Login, hostname: str, user: str, port: int, alias: str | None) -> dict[str, str]:
    return {"%": "%", "h": hostname, "n": login.address, "p": str(port), "r": user, "u": _this_user(),
            "d": os.path.expanduser("~"), "i": str(os.getuid()), "k": alias or login.address,
            "l": socket.gethostname(), "L": socket.gethostname().partition(".")[0]}


def _existing(paths: Iterable[str], tokens: Mapping[str, str]) -> list[str]:
    found = (os.path.expanduser(expand(path, tokens)) for path in paths)
    return [path for path in found if os.path.isfile(path)]


def _path(text: str | None, tokens: Mapping[str, str]) -> str | None:
    return None if text is None else os.path.expanduser(expand(text, tokens))


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isdigit() and len(text) < 6 and text != "0" else None


def _uri(hop: str) -> str:
    return hop.removeprefix("ssh://").rstrip("/")


def _without_ssh(login: Login, config: str | None) -> dict[str, list[str]]:
    from paramiko import SSHConfig
    from paramiko.ssh_exception import ConfigParseError

    files = [config] if config is not None else ["~/.ssh/config", "/etc/ssh/ssh_config"]
    parsed = SSHConfig()
    for file in files:
        path = Path(file).expanduser()
        if config is None and not path.is_file():
            continue
        try:
            with path.open(encoding="utf-8", errors="surrogateescape") as stream:
                parsed.parse(stream)
        except (OSError, ConfigParseError) as error:
            raise NotAccepted(f"{path}: {error}") from error
    return {key: value if isinstance(value, list) else [value]
            for key, value in parsed.lookup(login.address).items()}
