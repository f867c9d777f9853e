"""The hosts of a command line: files and lists of hosts, ``@NAME`` for a group, and ``-x`` for hosts to leave out.

``@NAME`` means the hosts with that tag among those in the hosts files of the same command line; if none has it, the
ClusterShell group of that name.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence

from sshjobs.errors import InputError, Problem, UsageError
from sshjobs.inputs.hostfile import load_hosts
from sshjobs.inputs.hostranges import expand, split_list
from sshjobs.model.allocation import renumbered
from sshjobs.model.host import Host

_GROUP = re.compile(r"@[A-Za-z0-9_][A-Za-z0-9._:+-]{0,199}")


def choose_hosts(values: Sequence[str], more: Callable[[], Sequence[Host]] = lambda: ()) -> list[Host]:
    """Return the hosts that all ``--hosts`` mean, in their order.

    :param values: each a hosts file or a list such as ``h1,node[01-16],@gpu``
    :param more: returns further hosts among which ``@NAME`` is looked up
    :raises InputError: every mistake in all of them
    :raises UsageError: a host is named twice, or there is no group ``@NAME``
    """
    pool, listed, groups = dict[str, Host](), set[str](), list[str]()
    problems: list[Problem] = []
    sources: list[tuple[bool, Callable[[], Sequence[Host]]]] = []
    for value in values:
        rest = value if _is_there(value) else _without_groups(value, groups)
        if rest is not None:
            sources.append((rest == value and _is_there(value), functools.partial(load_hosts, rest)))
    for is_file, source in (*sources, (True, more)):
        try:
            for host in renumbered(source(), pool):
                if host.name in pool:
                    raise UsageError(f"host '{host.name}' is named by two --hosts or --clusters", hint="name it once")
                pool[host.name] = host
                if not is_file:
                    listed.add(host.name)
        except InputError as error:
            problems.extend(error.problems)
    if problems:
        raise InputError(problems)
    if not groups:
        return list(pool.values())
    found = [host for group in groups for host in _group(group, pool.values())]
    chosen = {host.name: host for host in pool.values() if host.name in listed or host in found}
    return list({**chosen, **{host.name: host for host in found}}.values())


def leave_out(hosts: Iterable[Host], unwanted: Sequence[str]) -> list[Host]:
    """Return hosts without those that ``-x`` names: by names, ranges, globs, tags and ``@NAME``.

    :raises UsageError: one matches no host (such as a misspelt name), or no host is left
    """
    left = list(hosts)
    for _, text in (item for value in unwanted for item in split_list(value)):
        if text.startswith("@"):
            out = {host.name for host in _group(text, left)}
        elif "[" in text or "{" in text:
            out = set(expand(text))
        else:
            out = {host.name for host in left if host.matches([text])}
        if not any(host.name in out for host in left):
            raise UsageError(f"-x {text[:60]}: no such host is among those to run on", hint="see: sshjobs hosts check")
        left = [host for host in left if host.name not in out]
    if not left:
        raise UsageError("-x leaves no host to run on", hint="leave out fewer")
    return left


def _is_there(value: str) -> bool:
    return "\0" not in value and os.path.exists(value) and not os.path.isdir(value)


def _without_groups(value: str, groups: list[str]) -> str | None:
    """Return a list of hosts without its ``@NAME`` words, ``None`` if nothing else is in it; append these to
    ``groups``."""
    items = [text.strip() for _, text in split_list(value)]
    named = [text for text in items if text.startswith("@")]
    if wrong := next((text for text in named if not _GROUP.fullmatch(text)), None):
        raise UsageError(f"{wrong[:60]!a} cannot be a tag or a group",
                         hint="write --hosts @NAME, and further hosts behind a comma")
    groups += named
    return value if not named else ",".join(text for text in items if text not in named) or None


def _group(group: str, among: Iterable[Host]) -> list[Host]:
    """Return the hosts that ``@NAME`` stands for.

    :raises UsageError: none
    """
    known = {host.name: host for host in among}
    tagged = [host for host in known.values() if group[1:] in host.tags]
    if tagged:
        return tagged
    names = _clustershell(group)
    if not names:
        raise UsageError(f"no host has the tag '{group[1:]}', and ClusterShell has no group of that name",
                         hint="name the hosts file with the tag too: --hosts FILE --hosts " + group)
    return [known[name] if name in known else load_hosts([name])[0] for name in names]


def _clustershell(group: str) -> list[str]:
    """Return the names of a group in the user's or this machine's configuration of ClusterShell."""
    # Imported here, because it takes long to load.
    from ClusterShell.Defaults import config_paths
    from ClusterShell.NodeSet import NodeSet, NodeSetException
    from ClusterShell.NodeUtils import GroupResolverConfig, GroupResolverError

    # Without the examples that come with the library.
    files = [path for path in config_paths("groups.conf") if not path.startswith(os.path.join(sys.prefix, "etc", ""))
             or sys.prefix == "/usr"]
    if not any(map(os.path.exists, files)):
        return []
    try:
        return list(NodeSet(group, resolver=GroupResolverConfig(files)))
    except (NodeSetException, GroupResolverError, OSError) as error:
        raise UsageError(f"ClusterShell cannot tell the group {group}", why=str(error),
                         hint=f"see: nodeset -e {group}") from None
