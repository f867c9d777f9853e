"""Reads hosts: from a file of lines, a specification such as ``h1,node[01-16]``, or a list of lines.

A hosts file decides where code runs and which arguments ssh gets, so every word is checked against an allow-list before
any process starts.
"""

from __future__ import annotations

import logging
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sshjobs.errors import InputError, Problem, UsageError, printable
from sshjobs.inputs.hostranges import MAX_HOSTS, expand, split_list
from sshjobs.inputs.hostsettings import ALLOWED, Settings, number_from, short, words_of
from sshjobs.inputs.slurmword import PREFIX, PREFIXES, nodes_of, read_slurm, settings_of, whole_words
from sshjobs.inputs.source import check_text, read_input
from sshjobs.model.allocation import host_name
from sshjobs.model.given import MAX_SLOTS
from sshjobs.model.host import Host

#: The largest hosts file, in bytes.
MAX_BYTES = 4 * 2**20

_LOG = logging.getLogger(__name__)
_QUOTES = re.compile(r"[\"'\\]")
_COMMENT = re.compile(r"(?:^|\s)#.*", re.DOTALL)
_WORD = re.compile(r"[^ \t]+")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,252}")
_PATTERN = re.compile(r"[A-Za-z0-9._,\[\]{}/-]+")
# Not compiled here: few lists hold such a part.
_USER = r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,254}"
_ZONE = r"[A-Za-z0-9._-]{1,32}"
_RANGE = re.compile(r"[{]|\[[^:\]]*\]")
_BRACKET = re.compile(r"\[[^\]]*\]")
_LIKE_A_FILE = re.compile(r"^[.~]|/|\.(txt|text|hosts|list|conf|cfg|ini|csv|json|ya?ml)$")


def load_hosts(spec_or_path: str | Sequence[str]) -> list[Host]:
    """Return the hosts that a file, a specification (``h1,h2``, ``node[01-16]``) or a list of lines names.

    A string is a file if there is one of that name, else a specification. Starts no process and looks up no name.

    :return: hosts in their order, each name once, at least one
    :raises InputError: every mistake, all at once
    :raises UsageError: a list with something else than text
    """
    if isinstance(spec_or_path, str):
        # A directory with the name of a host does not count.
        if "\0" not in spec_or_path and os.path.exists(spec_or_path) and not os.path.isdir(spec_or_path):
            return load_hostfile(spec_or_path)
        odd = not any(prefix in spec_or_path for prefix in PREFIXES)
        if odd and _LIKE_A_FILE.search(_BRACKET.sub("", spec_or_path.partition(" ")[0])):
            raise InputError([Problem(spec_or_path, 0, 0, "there is no such hosts file; check the path")])
        return _Reader("hosts", spec=True).read([spec_or_path])
    lines = list(spec_or_path)
    for line in lines:
        if not isinstance(line, str):
            raise UsageError(f"a host must be text, got {type(line).__name__}", hint="write ['h1', 'h2']")
    return _Reader("hosts", repeats=True).read(lines)


def load_hostfile(path: str | Path) -> list[Host]:
    """Return the hosts that a file names, one or a range of them a line.

    :raises InputError: not readable, or every mistake in it, all at once
    """
    body = check_text(read_input(path, MAX_BYTES), str(path))
    _warn_if_open_to_all(path)
    return _Reader(str(path), repeats=True).read(body.decode("utf-8").split("\n"))


def read_host_lines(lines: Sequence[str], file: str) -> list[Host]:
    """Return the hosts that lines of a hosts file name.

    :param file: the name of the input for messages
    :raises InputError: every mistake, all at once
    """
    return _Reader(file).read(lines)


class _Reader:
    """Reads lines and collects hosts and mistakes.

    :param file: the name of the input for messages
    :param spec: lines are specifications: hosts are separated by commas, and further words are no tags
    :param repeats: a host may be named again, for one more slot
    """

    def __init__(self, file: str, *, spec: bool = False, repeats: bool = False) -> None:
        self.file, self.spec, self.repeats = file, spec, repeats
        self.problems: list[Problem] = []
        self.hosts: dict[str, Host] = {}
        self.places: dict[str, tuple[int, int]] = {}
        #: Hosts that came from a range; how often each host was named.
        self.ranged: set[str] = set()
        self.times: dict[str, int] = {}
        #: The first word of each line.
        self.named: set[str] = set()
        #: How many allocations of Slurm were named.
        self.allocations = 0

    def read(self, lines: Sequence[str]) -> list[Host]:
        """Return the hosts of all lines, or raise every mistake in them."""
        bare = [_COMMENT.sub("", line) for line in lines]
        self.named = {word[0] for line in bare if (word := _WORD.search(line))}
        for number, line in enumerate(lines, 1):
            self._line(number, line.rstrip("\r"))
            if len(self.hosts) > MAX_HOSTS:
                self._problem(number, 1, f"more than {MAX_HOSTS:,} hosts, the limit; name fewer")
                break
        if not self.problems and not self.hosts:
            self._problem(0, 0, "no hosts; name one a line, or write localhost")
        if self.problems and not self.spec:
            from sshjobs.inputs.hostformats import recognise

            if (found := recognise(bare)) is not None:
                raise InputError([Problem(self.file, found[0], 1, f"this is {found[1].tool}; {found[1].way}")])
        if self.problems:
            raise InputError(self.problems)
        self._tell_repeats()
        return list(self.hosts.values())

    def _tell_repeats(self) -> None:
        """Warn that hosts which are named several times get as many slots: that may be a mistake."""
        if len({self.times[host] for host in self.hosts}) > 1:
            host, times = max(self.times.items(), key=lambda item: item[1])
            _LOG.warning("%s: %s is named %d times, so it gets %d slots; to leave that to its cores name it once",
                         printable(self.file), host, times, self.hosts[host].slots)

    def _problem(self, line: int, column: int, message: str) -> None:
        self.problems.append(Problem(self.file, line, column, message))

    def _line(self, number: int, line: str) -> None:
        for at, letter in enumerate(line):
            if letter < " " and letter != "\t":
                what = f"control character U+{ord(letter):04X}"
                self._problem(number, at + 1, f"{what} is not allowed; take it out")
                return
        plain = line if _QUOTES.search(line) else _COMMENT.sub("", line)
        for start, part in whole_words(split_list(plain)) if self.spec else [(0, line)]:
            try:
                words = [(start + column, word) for column, word in words_of(part)]
            except UsageError as error:
                self._problem(number, start + 1, str(error))
                continue
            if words:
                self._words(number, words)
            elif self.spec:
                self._problem(number, start + 1, "a host is missing here; write h1,h2 or node[01-16]")

    def _words(self, number: int, words: list[tuple[int, str]]) -> None:
        """Read one host, or a range of hosts, with its settings."""
        settings = Settings()
        column, names = words[0]
        for at, word in words[1:]:
            try:
                settings.take(word, tags=not self.spec)
            except UsageError as error:
                self._problem(number, at, str(error))
            else:
                odd = None if "=" in word else self._odd_word(names, word)
                if odd is not None:
                    self._problem(number, at, odd)
                    return
        for offset, name in whole_words(split_list(names)):
            if name.startswith(PREFIXES):
                self._allocation(name, settings, number, column + offset)
                continue
            try:
                for host in _hosts(name, settings):
                    self._keep(host, number, column + offset, ranged=bool(_RANGE.search(name)))
            except UsageError as error:
                self._problem(number, column + offset, str(error))

    def _odd_word(self, host: str, word: str) -> str | None:
        from sshjobs.inputs.hostformats import odd_word  # most lists name hosts alone

        return odd_word(host, word, self.named.__contains__)

    def _allocation(self, word: str, settings: Settings, line: int, column: int) -> None:
        """Add the nodes that a ``slurm:`` word asks for, or the scheduler of a ``batch:`` word."""
        if word.startswith(PREFIX):
            asked, problems = read_slurm(word)
            nodes, told = nodes_of(asked) if not problems else 0, settings_of(asked)
        else:
            from sshjobs.inputs.batchword import read_batch  # only where there is such a word

            told, problems = read_batch(word)
            nodes = 1
        for at, message in problems:
            self._problem(line, column + at, message)
        if problems:
            return
        self.allocations += 1
        for node in range(1, nodes + 1):
            name = host_name(self.allocations, node, own=not word.startswith(PREFIX))
            self._keep(_host(name, settings, slurm=told), line, column, ranged=True)

    def _keep(self, host: Host, line: int, column: int, *, ranged: bool) -> None:
        """Add a host. A host that is named again gets one more slot, as in the lists of PBS, LSF and Open MPI."""
        before = self.hosts.get(host.name)
        self.times[host.name] = self.times.get(host.name, 0) + 1
        if before is None:
            self.hosts[host.name] = host
            self.places[host.name] = (line, column)
            if ranged:
                self.ranged.add(host.name)
            if host.port is not None:
                from sshjobs.inputs.hostformats import odd_port

                if odd := odd_port(host.name, host.port):
                    self._problem(line, column, odd)
            return
        slots = (before.slots or 1) + (host.slots or 1)
        if not self.repeats or ranged or host.name in self.ranged or slots > MAX_SLOTS or (
                replace(before, slots=None, tags=()) != replace(host, slots=None, tags=())):
            first = self.places[host.name]
            where = f"line {first[0]}" if first[0] != line else f"column {first[1]}"
            message = f"host '{host.name}' is named twice (first on {where}); keep one of them"
            self._problem(line, column, message)
        else:
            tags = (*before.tags, *(tag for tag in host.tags if tag not in before.tags))
            self.hosts[host.name] = replace(before, slots=slots, tags=tags)


def _hosts(word: str, settings: Settings) -> list[Host]:
    """Return the hosts that ``[user@]host[:port]`` means.

    :raises UsageError: it is no host, or ssh or a shell could take it for something else
    """
    user, at, rest = word.rpartition("@")
    if at:
        _check_user(user)
    if rest.startswith("[") and ":" in rest.partition("]")[0]:
        address, closed, port = rest[1:].partition("]")
        if not closed:
            raise UsageError(f"the bracket in '{short(rest)}' is not closed", hint="write [fe80::1]:22")
        _check_ipv6(address)
        names = [f"[{address}]"]
        if port and not port.startswith(":"):
            raise UsageError(f"'{short(port)}' after the brackets is not a port", hint="write [fe80::1]:22")
    else:
        pattern, colon, port = rest.partition(":")
        if ":" in port and "[" not in pattern:
            raise UsageError(f"'{short(rest)}' is not host:port", hint="IPv6 goes in brackets: [fe80::1]:22")
        port = colon + port
        names = _names(pattern)
    number = number_from(port[1:], "a port", 65535) if port else None
    return [
        _host(f"{user}{at}{name}{port}", settings, user=user or None, port=number,
              local=name == "localhost" and not at and not port)
        for name in names
    ]


def _host(name: str, settings: Settings, **more: Any) -> Host:
    return Host(name, slots=settings.slots, python=settings.python, tags=tuple(settings.tags),
                env=tuple(settings.env.items()), wrap=tuple(settings.wrap or ()), memory=settings.memory,
                scratch=settings.scratch, counts=tuple(sorted(settings.counts.items())), gpus=settings.gpus,
                gpu_busy=settings.gpu_busy, share=settings.share or 1.0, **settings.manners, **more)


def _names(pattern: str) -> list[str]:
    if not pattern:
        raise UsageError("the host's name is missing", hint="write [user@]host[:port]")
    if pattern.startswith("-"):
        raise UsageError(f"'{short(pattern)}' starts with '-'", why="ssh would take it for an option",
                         hint="give the host an alias in ssh_config")
    if not _PATTERN.fullmatch(pattern):
        bad = next(letter for letter in pattern if not _PATTERN.fullmatch(letter))
        raise UsageError(f"'{short(pattern)}' holds {bad!a}, which no host name may", hint=ALLOWED)
    names = expand(pattern)
    for name in names:
        if not _NAME.fullmatch(name):
            raise UsageError(f"'{short(name)}' is not a host name",
                             hint="letters, digits, '.', '_' and '-' are allowed, not '.' first")
    return names


def _alias(user: str) -> str:
    """Return advice for a login name that cannot stand before '@'."""
    return ("write an alias into ~/.ssh/config, and name that here: "
            f"Host NAME, below it HostName HOST and User {short(user)}")


def _check_user(user: str) -> None:
    if not user:
        raise UsageError("the login name before '@' is missing",
                         hint="a group is named on the command line: --hosts @NAME")
    if not re.fullmatch(_USER, user):
        raise UsageError(f"'{short(user)}' is not a login name", why=ALLOWED, hint=_alias(user))


def _check_ipv6(text: str) -> None:
    import ipaddress

    address, zone, interface = text.partition("%")
    try:
        ipaddress.IPv6Address(address)
    except ValueError:
        raise UsageError(f"'[{short(text)}]' is not an IPv6 address", hint="write [fe80::1]:22") from None
    if zone and not re.fullmatch(_ZONE, interface):
        raise UsageError(f"'%{short(interface)}' names no interface", hint="write [fe80::1%eth0]")


def _warn_if_open_to_all(path: str | Path) -> None:
    mode = os.stat(path).st_mode
    if stat.S_ISREG(mode) and mode & stat.S_IWOTH:
        _LOG.warning("%s: everybody on this machine may change it, and it decides where jobs run; "
                     "take that away: chmod o-w", printable(path))
