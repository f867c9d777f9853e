"""The link without any I/O: what it makes of a host's bytes, however they are cut, and however hostile."""

from __future__ import annotations

import json
import zlib

import pytest

from sshjobs.errors import ProtocolError
from sshjobs.network.protocol import frames
from sshjobs.network.protocol.link import Frame, Link, Output, Ready, TooOld, Welcome

NONCE = "0123456789abcdef" * 2
MARKER = f"\nSSHJOBS-READY {NONCE}\n".encode()
WELCOME = {"t": "welcome", "v": 1, "pid": 7, "boot": "b", "pidns": 1, "machine": "m", "hostname": "h",
           "python": "3.6.15", "cores": 4, "memory": 1, "gpus": [], "clock": 1.5, "disk": 1, "root": "/r",
           "home": "/h", "resumed": False}
ENDED = {"t": "ended", "id": "1.1", "why": "exited", "status": 0, "out": 3, "err": 0}


def line(frame: dict) -> bytes:
    return json.dumps(frame).encode() + b"\n"


def out(data: bytes, off: int = 0, uid: str = "1.1", **keys) -> bytes:
    frame = {"t": "out", "id": uid, "s": 1, "off": off, "n": len(data), "crc": zlib.crc32(data), **keys}
    return line(frame) + data


def ready_link() -> Link:
    link = Link(NONCE)
    assert list(link.receive(MARKER)) == [Ready()]
    return link


CONVERSATION = b"Welcome to node01\r\n\x07motd" + MARKER + line(WELCOME) + out(b"a\n\x00") + line(ENDED)


def test_a_conversation_means_the_same_however_it_is_cut():
    whole = list(Link(NONCE).receive(CONVERSATION))
    assert [type(event) for event in whole] == [Ready, Welcome, Output, Frame]
    for cut in range(len(CONVERSATION)):
        link = Link(NONCE)
        assert list(link.receive(CONVERSATION[:cut])) + list(link.receive(CONVERSATION[cut:])) == whole
    link = Link(NONCE)
    assert [event for byte in CONVERSATION for event in link.receive(bytes([byte]))] == whole


def test_a_megabyte_of_motd_is_skipped():
    link = Link(NONCE)
    assert list(link.receive(b"noise\n" * 200_000)) == []
    assert list(link.receive(MARKER)) == [Ready()]


def test_a_marker_with_another_nonce_is_noise():
    link = Link(NONCE)
    assert list(link.receive(MARKER.replace(b"0", b"1"))) == []
    assert not link.ready


def test_endless_noise_is_given_up():
    link = Link(NONCE)
    with pytest.raises(ProtocolError, match="before the agent's first word"):
        for _ in range(frames.MAX_NOISE // 65536 + 2):
            list(link.receive(b"x" * 65536))


def test_an_old_python_says_so_by_itself():
    assert list(Link(NONCE).receive(f"\nSSHJOBS-OLD {NONCE} 3.4.2\n".encode())) == [TooOld("old-python", "3.4.2")]


@pytest.mark.parametrize("data", [
    b"not json\n", b"[]\n", b"1\n", b"null\n", b'{"t":1}\n', b'{"t":"nonsense"}\n', b'{"no":"type"}\n',
    b'{"t":["welcome"]}\n',
    b"[" * 200_000 + b"\n",
    b'{"t":"warn","msg":"' + b"x" * (frames.MAX_LINE + 1),
    line({**WELCOME, "v": 2}), line({**WELCOME, "cores": "4"}), line({**WELCOME, "cores": True}),
    line({key: WELCOME[key] for key in WELCOME if key != "boot"}),
    line({**ENDED, "id": "../../x"}), line({**ENDED, "id": "0.1"}), line({**ENDED, "id": "1.1\n"}),
    line({**ENDED, "why": "bored"}), line({**ENDED, "status": 256}), line({**ENDED, "status": -1}),
    line({**ENDED, "status": None}), line({**ENDED, "why": "signalled", "signal": 99}),
    line({**ENDED, "out": -1}), line({**ENDED, "out": 1.5}), line({**ENDED, "started": "now"}),
    line({**ENDED, "n": 3}),
    out(b"abc", s=3), out(b"abc", off=-1), out(b"abc", crc=1), out(b"abc", n=frames.MAX_BODY + 1),
    out(b"abc", n=-1), out(b"abc", n="3"),
])
def test_what_the_protocol_does_not_allow_ends_the_conversation(data):
    link = ready_link()
    with pytest.raises(ProtocolError):
        list(link.receive(data))


def test_output_that_looks_like_a_frame_is_output():
    data = line(ENDED) + MARKER
    assert list(ready_link().receive(out(data))) == [Output("1.1", 1, 0, data, zlib.crc32(data))]


def test_what_is_said_leaves_in_its_order_and_once():
    link = ready_link()
    link.sync([])
    link.say("ping", seq=1)
    said = [json.loads(part) for part in link.take().splitlines()]
    assert [frame["t"] for frame in said] == ["sync", "ping"]
    assert said[0] == {"t": "sync", "a": [], "last": True}
    assert link.take() == b""


def test_a_long_sync_goes_in_pieces():
    link = ready_link()
    link.sync((f"{n}.1", n, 0) for n in range(1, 2502))
    said = [json.loads(part) for part in link.take().splitlines()]
    assert [len(frame["a"]) for frame in said] == [1000, 1000, 501]
    assert [frame["last"] for frame in said] == [False, False, True]
