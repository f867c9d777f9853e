"""Recognises hosts files of other tools as a whole, so that one message can tell how to write them here."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

_HOST = r"(?:[A-Za-z0-9_.+-]+@)?[A-Za-z0-9_][A-Za-z0-9_.-]*"
_NODES = r"[A-Za-z0-9_@*][A-Za-z0-9_.,@*\[\]-]*"


class HostFormat(NamedTuple):
    """One format.

    :ivar tool: the tool that reads it
    :ivar line: a pattern for a typical line, matched at the beginning of a line without its comment
    :ivar way: what to do with it
    :ivar every: every line must match; otherwise one is enough
    """

    tool: str
    line: str
    way: str
    every: bool = False


_ANSIBLE = "write a host a line, and its groups behind it as tags: h1 web"

#: The first match counts.
FORMATS = (
    HostFormat("an Ansible inventory", r"\[[A-Za-z0-9_.-]+(?::(?:vars|children))?\]\s*$|\S+\s.*\bansible_[a-z_]+=",
            _ANSIBLE),
    HostFormat("an Ansible inventory", r"[A-Za-z0-9_-]+:\s*$",
            _ANSIBLE),
    HostFormat("an ssh_config", r"(?i)(?:host|match|hostname|identityfile|proxyjump|include)[ \t=]+\S",
            "write the names behind Host, one a line; ssh reads that file itself: --ssh-config FILE"),
    HostFormat("an sshlogin file of GNU parallel",
            rf"(?:\d+%?/)(?:{_HOST}|:|/?\S*ssh\b.*)\s*$|:\s*$|@[\w+.-]+/|\d*/+\S*ssh\s",
            "write HOST slots=N for N/HOST, and localhost for :"),
    HostFormat("groups of clush", rf"[A-Za-z0-9_.-]+:\s+{_NODES}\s*$",
            "name a group on the command line: --hosts @GROUP; or write its hosts, one a line, with the group as tag"),
    HostFormat("a YAML list", r"-\s+\S", "write a host a line, without the dash"),
    HostFormat("/etc/hosts", r"(?:\d{1,3}\.){3}\d{1,3}\s+[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*(?:\s|$)",
            "write a host a line, its name or its address", every=True),
    HostFormat("LSF's LSB_MCPU_HOSTS", rf"{_HOST}\s+\d+(?:\s+{_HOST}\s+\d+)*\s*$",
            "write HOST slots=N, one a line", every=True),
    HostFormat("JSON", r"\s*[\[{]\s*(?:\"|$)", "write a host a line"),
)


def recognise(lines: Sequence[str]) -> tuple[int, HostFormat] | None:
    """Return the format of these lines, and the number of the line that shows it, from 1.

    :param lines: without comments; blank lines are ignored
    """
    for one in FORMATS:
        found = [n for n, line in enumerate(lines, 1) if line.strip() and re.match(one.line, line.rstrip())]
        if found and (not one.every or len(found) == sum(1 for line in lines if line.strip())):
            return found[0], one
    return None


# -- words behind a host ----------------------------------------------------------------------------------------------

_DIGITS = re.compile(r"[0-9]+")
_ADDRESS = re.compile(r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}")
#: Names that other tools have for options of ours. ``cpu`` alone, or ``cpu2``, is a proper tag.
_SLOTS = frozenset("slot slots ncpus np ppn max_slots max-slots maxslots".split())
_COUNTS = frozenset("cpu cpus core cores jobs weight threads".split())
_OTHERS = frozenset("port user username login python identity key password".split())
_SETTING = re.compile(r"([A-Za-z_-]+)[:=]?([0-9]*)(.*)")


def odd_word(host: str, word: str, known: Callable[[str], bool]) -> str | None:
    """Return what is odd about a word behind a host that would be a tag, ``None`` for nothing.

    :param host: the host, as the line names it
    :param known: returns whether there is a host with such a name
    """
    name = host.rpartition("@")[2]
    if word.isdigit():
        return f"'{word}' would be a tag; for {word} jobs at a time write slots={word}"
    if _ADDRESS.fullmatch(word) or known(word) or (
            any(letter.isdigit() for letter in word) and _DIGITS.sub("#", word) == _DIGITS.sub("#", name)) or (
            "." in word and word.partition(".")[2] == name.partition(".")[2]):
        return f"'{word}' looks like a host, and stands where tags do; write one host a line"
    found = _SETTING.fullmatch(word)
    key = found[1].lower().strip("-_") if found else ""
    counts = key in _SLOTS and (found[2] or word in ("slots", "slot")) or key in _COUNTS and found[2] and (
        ":" in word) if found else False
    if found and counts:
        return f"'{word}' looks like an option, and would be a tag; write slots={found[2] or 'N'}"
    if found and key in _OTHERS and word != key and word[len(found[1]):][:1] in ":=":
        way = {"python": "write python=PATH", "port": "write HOST:PORT"}.get(
            key, "write USER@HOST" if key in ("user", "username", "login") else "write it into ssh_config")
        return f"'{word}' looks like an option, and would be a tag; {way}"
    return None


#: Small ports that an sshd may really have. Other small numbers are probably numbers of processors.
_PORTS = frozenset((22, 53, 80, 222))
_MOST_PROCESSORS = 256
_LOOPBACK = re.compile(r"(?:^|@)(?:127\.[0-9.]+|localhost|\[::1\])$")


def odd_port(host: str, port: int | None) -> str | None:
    """Return what is odd about ``host:4``, ``None`` for nothing."""
    name = host.rpartition(":")[0]
    if port is None or port > _MOST_PROCESSORS or port in _PORTS or _LOOPBACK.search(name):
        return None
    return (f"'{host}' means port {port} here; for {port} jobs at a time (as MPICH writes it) write "
            f"{name} slots={port}, for such a port write Port into ssh_config")
