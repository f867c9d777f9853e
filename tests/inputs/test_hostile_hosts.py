"""Names that would make ssh or a shell do something else are refused before any process starts."""

from __future__ import annotations

import os
import subprocess

import pytest

from sshjobs.errors import SshjobsError
from sshjobs.inputs.hostfile import load_hosts

HOSTILE = [
    "-oProxyCommand=touch${IFS}x", "-oProxyCommand=x",
    "-F/etc/passwd", "-l", "--", "-", "-p22", "user@-oProxyCommand=x",
    "-l@host", "-oX@host", "a;b", "a|b", "a&b", "a&&b", "a`id`", "a$(id)", "$(id)", "`id`", "${IFS}", "$HOME", "a>b",
    "a<b", "a\\b", "a'b", 'a"b', "a(b)", "a*b", "a?b", "a!b", "a^b", "a~b", "~root", "a=b", "a+b", "a%b", "%h", "%%",
    "a\nb", "a\r\nb", "a\0b", "a\x1bb", "a\x07b", "a\x7fb", "a\u202eb", "a\u200bb", "а.example", "ⓔxample", "é",
    "host１", "a@b@c", "us er@h", "u`id`@h", "u;id@h", "u$x@h", "-u@h", "u'@h", "user:pass@host", "@host", "h:22:33",
    "h:-1",
    "h: 22", "h:2²", "h:99999999999999999999", "../etc/passwd", "/etc/passwd/x", "h/../x", "[::1", "::1]", "[::1]x",
    "[$(id)::1]", "[::1%$(id)]", "[-o::1]", "n[1-2", "n]1[", "n{1,2", "n[1-2;3]", "n[`id`]", "{$(id),b}", "{-o,b}",
    "{a,;}", "@all", "@*", "a,-oX", "host:22 python=/x;id", "host python=$(id)", "host python=-c", "host slots=$(id)",
    ".", "..", ".ssh", "x" * 300, "u" * 300 + "@h", "h h2;id",
]
# In a file a line end parts two hosts, and is no part of a name.
CASES = [(way, name) for way in ("specification", "line", "file") for name in HOSTILE
         if way != "file" or "\n" not in name]


@pytest.fixture
def no_process(mocker):
    """Whatever could start a process; each must stay untouched."""
    names = [(subprocess, "Popen"), (os, "system"), (os, "fork"), (os, "posix_spawn"), (os, "execv"), (os, "execve")]
    return [mocker.patch.object(module, name) for module, name in names]


@pytest.mark.parametrize(("way", "name"), CASES)
def test_a_hostile_name_is_refused_and_starts_nothing(name, way, tmp_path, monkeypatch, no_process):
    monkeypatch.chdir(tmp_path)
    source: str | list[str] = name if way == "specification" else [name]
    if way == "file":
        (tmp_path / "lab").write_bytes(name.encode())
        source = "lab"
    with pytest.raises(SshjobsError) as caught:
        load_hosts(source)
    assert str(caught.value).isprintable() or "\n" in str(caught.value)
    assert not any(character < " " for character in str(caught.value).replace("\n", ""))
    assert not any(mock.called for mock in no_process)


def test_the_list_is_long_enough_to_mean_something():
    assert len(set(HOSTILE)) >= 60
