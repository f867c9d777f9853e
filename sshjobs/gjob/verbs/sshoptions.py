"""How ssh is called: what counts before anything in the user's configuration, and what only where that is silent."""

import os
import re
import socket
import stat
import subprocess

MYPY = False
if MYPY:
    from typing import Mapping, Sequence

# ssh takes the first value that it meets for an option, so these come before anything in the user's files. All of
# them keep the stream clean or the user safe; everything else (names, keys, jumps, ciphers) stays the user's.
SAFE = {
    "StrictHostKeyChecking": "yes",
    # A master of the user's is used where it lives; ours would outlive us.
    "ControlMaster": "no",
    "ClearAllForwardings": "yes",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "PermitLocalCommand": "no",
    "RemoteCommand": "none",
}
#: The same, where nobody sits at a terminal that ssh could ask at.
WITHOUT_TERMINAL = {"BatchMode": "yes", "RequestTTY": "no", "EscapeChar": "none"}
# The same, for clients that know these. Older ones do not have what they switch off either. IgnoreUnknown would do as
# well, but then the user's own IgnoreUnknown, coming later, would not count.
SINCE_8_7 = {"ForkAfterAuthentication": "no", "StdinNull": "no", "SessionType": "default"}
#: Seconds for TCP and the exchange of versions, before a host counts as not answering.
CONNECT_TIMEOUT = 10
#: A link without an answer for INTERVAL * COUNT seconds is dead: 30, below the 45 that are promised.
ALIVE_INTERVAL, ALIVE_COUNT = 10, 3
#: What counts where the user's configuration does not say it, and the value that it has for ssh in that case.
DEFAULTS = {"ConnectTimeout": (str(CONNECT_TIMEOUT), "none"),
            "ServerAliveInterval": (str(ALIVE_INTERVAL), "0"),
            "ServerAliveCountMax": (str(ALIVE_COUNT), "3")}
#: The value of StrictHostKeyChecking for those who want keys accepted that ssh has never seen.
ACCEPT_NEW = "accept-new"
#: Seconds that ``ssh -G`` gets; `Match exec` and name look-ups of the user's may be slow.
PATIENCE = 20.0
#: Seconds that a ControlMaster gets to greet us: it is a process on this machine.
MASTER_PATIENCE = 5.0

_version = None


def version() -> "tuple[int, ...]":
    """Return the version of the ssh on this machine, ``(0,)`` where it does not tell. Asked once a process."""
    global _version
    if _version is None:
        try:
            said = subprocess.run(["ssh", "-V"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, timeout=10).stdout
        except (OSError, subprocess.TimeoutExpired):
            return (0,)
        match = re.search(rb"OpenSSH_(?:for_Windows_)?(\d+)\.(\d+)", said)
        _version = (int(match.group(1)), int(match.group(2))) if match else (0,)
    return _version


def safe_options(terminal: bool = False, silent: "frozenset[str]" = frozenset()) -> "dict[str, str]":
    """Return what counts before the user's configuration, fit for the ssh on this machine.

    :param silent: options, in small letters, that the configuration is known to set for no host: of the newer ones
        these are left out, and where all of them are, ssh is not asked for its version
    """
    options = dict(SAFE)
    if not terminal:
        options.update(WITHOUT_TERMINAL)
    newer = {option: value for option, value in SINCE_8_7.items() if option.lower() not in silent}
    if newer and version() >= (8, 7):
        options.update(newer)
    return options


def defaults(settings: "Mapping[str, Sequence[str]]") -> "dict[str, str]":
    """Return what counts where the user's configuration is silent.

    :param settings: what ``ssh -G`` tells of it; empty where it is known to say nothing about these
    """
    return {option: ours for option, (ours, silent) in DEFAULTS.items()
            if settings.get(option.lower(), [silent])[0] == silent}


def words_of(options: "Mapping[str, str]") -> "list[str]":
    """Return options as words of a command line."""
    return [word for option in options for word in ("-o", "%s=%s" % (option, options[option]))]


def ask(words: "Sequence[str]", address: str) -> "subprocess.CompletedProcess[bytes]":
    """Return how ``ssh -G`` ended, which tells the user's configuration for an address. Blocks.

    :param words: options that name a file, a user, a port
    :raises OSError: there is no ssh
    :raises subprocess.TimeoutExpired: it gives no answer
    """
    return subprocess.run(["ssh", "-G", "-T"] + list(words) + ["--", address], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=PATIENCE)


def parse_settings(text: str) -> "dict[str, list[str]]":
    """Return what ``ssh -G`` prints, each keyword with its values."""
    found: "dict[str, list[str]]" = {}
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        found.setdefault(key, []).append(value)
    return found


def control_path(settings: "Mapping[str, Sequence[str]]") -> "str | None":
    """Return where a ControlMaster of the user's listens, ``None`` where there is none."""
    path = settings.get("controlpath", ["none"])[0]
    try:
        return path if path != "none" and stat.S_ISSOCK(os.stat(path).st_mode) else None
    except (OSError, ValueError):
        return None


def master_answers(path: str) -> bool:
    """Tell whether the process that listens at a control path greets, which ssh waits for without limit. Blocks.

    Nobody there is fine: then ssh goes on without.
    """
    master = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    master.settimeout(MASTER_PATIENCE)
    try:
        master.connect(path)
        return bool(master.recv(1))
    except socket.timeout:
        return False
    except OSError:
        return True
    finally:
        master.close()


def name_master(address: str, path: str) -> str:
    """Return how a person ends a ControlMaster that hangs."""
    return "end it: ssh -O exit %s, or if that hangs too: rm %s" % (address, path)

