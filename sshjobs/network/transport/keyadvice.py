"""What to do about a host key that is not known, or has changed, under the user's own settings of ssh."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence

from sshjobs.errors import HostError
from sshjobs.model.host import Host, login_of
from sshjobs.network.transport.knownhosts import file_names, known_keys

#: Values of StrictHostKeyChecking with which plain ssh takes keys that it does not know, as ``ssh -G`` tells them.
_TAKES_KEYS = ("accept-new", "false", "no", "off")
#: Files that remember nothing.
_NOWHERE = ("none", "/dev/null")

Settings = Mapping[str, Sequence[str]]


def key_advice(host: Host, error: HostError, settings: Settings) -> HostError:
    """Return the error with advice that helps.

    :param error: its kind is one of :data:`sshjobs.network.transport.causes.KEY_KINDS`
    :param settings: what ``ssh -G`` tells of the host
    """
    if error.kind == "host-key-unknown":
        error.hint = _about_unknown(host, settings) or error.hint
    elif host.via is None:
        # Else it may be the key of the machine on the way there.
        error.hint = _about_changed(host, settings) or error.hint
    return error


def _about_unknown(host: Host, settings: Settings) -> str | None:
    checking = settings.get("stricthostkeychecking", ["ask"])[0]
    files = settings.get("userknownhostsfile", [""])[0]
    said = []
    if checking in _TAKES_KEYS:
        said.append(f"StrictHostKeyChecking {'no' if checking == 'false' else checking} does not count here")
    if files in _NOWHERE:
        said.append(f"UserKnownHostsFile {files} remembers no key")
    if not said:
        return None
    if files in _NOWHERE:
        way = "have it remember keys, or begin with --accept-new-host-keys (run, exec, hosts check)"
    else:
        way = (f"accept it once: ssh {login_of(host).address}; or take it unseen: "
               f"sshjobs hosts check --accept-new-host-keys --hosts {host.name}")
    return f"{' and '.join(said)} (your ssh configuration): {way}"


def _about_changed(host: Host, settings: Settings) -> str | None:
    """Name the file that the old key is in, and the name that it is there under."""
    address, alias = login_of(host).address, settings.get("hostkeyalias", ["none"])[0]
    hostname, port = settings.get("hostname", [address])[0], settings.get("port", ["22"])[0]
    filed = file_names(hostname, int(port) if port.isdigit() else 22, None if alias == "none" else alias)
    usual, *others = (settings.get(key, [""])[0].split() for key in ("userknownhostsfile", "globalknownhostsfile"))
    files = [os.path.expanduser(file) for file in (*usual, *(one for other in others for one in other))]
    file = next((file for file in files if known_keys([file], hostname, int(port) if port.isdigit() else 22,
                                                      None if alias == "none" else alias).trusted), None)
    if file is None:
        return None
    where = "" if file == os.path.expanduser("~/.ssh/known_hosts") else f" -f {shlex.quote(file)}"
    names = dict.fromkeys((address, filed))
    drop = "; ".join(f"ssh-keygen -R {shlex.quote(name)}{where}" for name in names)
    root = " (as root)" if not os.access(file, os.W_OK) else ""
    return f"make sure that it is the right machine, then: {drop}{root}; ssh {address}"
