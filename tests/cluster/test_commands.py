"""The command channel: who has the key is answered, everybody else is not, and a command happens once."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest
import zmq

from sshjobs.cluster.forwarding import FORWARDER, STREAMER, Forwarding, _forward
from sshjobs.errors import SshjobsError
from sshjobs.pools import channels
from sshjobs.pools.channels import Channels
from sshjobs.pools.chunks import BrokerError
from sshjobs.pools.commands import Commander, CommandListener
from sshjobs.pools.config import Endpoint, read_ini
from sshjobs.pools.facts import WorkerFacts
from sshjobs.pools.keys import Key
from tests.conftest import cli_environment
from tests.hints import tries


class Broker:
    """The two forwarders, in threads, at free ports."""

    def __init__(self, key: Key | None):
        self.channels = Channels(key)
        self.ends: dict[str, Endpoint] = {}
        for name in ("command", "log"):
            pair = []
            for side, kind in (("in", zmq.XSUB), ("out", zmq.XPUB)):
                socket = self.channels.open(kind, Endpoint("tcp://127.0.0.1:*", bind=True))
                self.ends[f"{name}-{side}"] = Endpoint(str(socket.getsockopt_string(zmq.LAST_ENDPOINT)))
                pair.append(socket)
            threading.Thread(target=self._forward, args=pair, daemon=True, name=name).start()

    _forward = staticmethod(_forward)

    def close(self) -> None:
        self.channels.end()

    def listener(self, key: Key | None, **more: object) -> CommandListener:
        made = CommandListener(self.ends["command-out"], self.ends["log-in"], key,
                               lambda: {"requests": 3, "elapsed": 1.5}, lambda do: self.acted.append(do))
        self.acted: list[str] = []
        made.start()
        return made

    def commander(self, key: Key | None) -> Commander:
        return Commander(self.ends["command-in"], self.ends["log-out"], key)


def end_when(told: threading.Event, listener: CommandListener) -> None:
    told.wait(60)
    listener.close()


@pytest.fixture
def key(tmp_path: Path) -> Key:
    return Key.make(tmp_path / "key")


@pytest.fixture
def broker(key: Key) -> Iterator[Broker]:
    made = Broker(key)
    yield made
    made.close()


def test_a_ping_is_answered_by_every_worker(broker: Broker, key: Key) -> None:
    listeners = [broker.listener(key) for _ in range(2)]
    with broker.commander(key) as commander:
        found = commander.ping(5, lambda answers: len(answers) == 2)
    assert {facts.worker for facts in found} == {one.facts.worker for one in listeners}
    assert (found[0].requests, found[0].mean) == (3, 0.5)
    for one in listeners:
        one.close()


def test_nobody_answers_in_time(broker: Broker, key: Key) -> None:
    with broker.commander(key) as commander:
        assert commander.ping(0.2) == []


def test_a_command_happens_once_and_only_to_whom_it_is_for(broker: Broker, key: Key) -> None:
    listener = broker.listener(key)
    with broker.commander(key) as commander:
        commander.ping(5, lambda answers: len(answers) == 1)
        assert commander.tell("quit", ["somebody else"], 0.3) == set()
        assert broker.acted == []
        assert commander.tell("restart", [listener.facts.worker, "gone"], 0.5) == {listener.facts.worker}
    listener.close()
    assert broker.acted == ["restart"]


def test_a_worker_that_ends_as_soon_as_it_is_told_has_answered(key: Key, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker hands on answers only once a worker has been asked twice, as a slow machine may."""
    answers, told = threading.Event(), threading.Event()
    forward = Broker._forward

    def late(one: zmq.Socket[bytes], other: zmq.Socket[bytes]) -> None:
        if threading.current_thread().name == "log":
            answers.wait(60)
        forward(one, other)

    monkeypatch.setattr(Broker, "_forward", staticmethod(late))
    slow = Broker(key)
    listener, asked = slow.listener(key), []

    def stats() -> dict[str, float]:
        asked.append(1)
        if len(asked) == 2:
            answers.set()
        return {"requests": 0, "elapsed": 0.0}

    def quits(do: str) -> None:
        told.set()

    listener.stats, listener.act = stats, quits
    ending = threading.Thread(target=end_when, args=(told, listener))
    ending.start()
    with slow.commander(key) as commander:
        assert commander.tell("quit", [listener.facts.worker]) == {listener.facts.worker}
    ending.join()
    answers.set()
    slow.close()


@pytest.mark.parametrize("text", [b"", b"\x80\x04.", b"[]", b"{}", b'{"do": "quit", "id": 1, "to": null}', b'{"do": "quit", "id": "x", "to": null}', b"[" * 60_000, b"9" * 70_000])
def test_nonsense_on_the_command_channel_ends_no_worker(broker: Broker, key: Key, text: bytes) -> None:
    listener = broker.listener(key)
    with broker.commander(key) as commander:
        commander.ping(5, lambda answers: len(answers) == 1)
        commander._out.send(text)
        assert len(commander.ping(5, lambda answers: len(answers) == 1)) == 1
    listener.close()
    assert broker.acted == []


@pytest.mark.parametrize("change", [{"pid": "x"}, {"elapsed": float("nan")}, {"host": 7}, {"worker": None}, {"requests": float("inf")}])
def test_an_answer_that_is_none_is_left_out(change: dict[str, object]) -> None:
    good = {"worker": "a", "host": "h", "pid": 1, "requests": 0, "elapsed": 0, "started": 0, "python": "3.11"}
    assert WorkerFacts.from_message(good) is not None
    assert WorkerFacts.from_message(json.loads(json.dumps({**good, **change}))) is None


def test_what_a_worker_says_cannot_write_to_the_terminal() -> None:
    facts = WorkerFacts.from_message({"worker": "a", "host": "\x1b[2Jh", "pid": 1, "requests": 0, "elapsed": 0, "started": 0, "python": "3"})
    assert facts is not None and "\x1b" not in facts.host


@tries("take the key_file of this cluster; without one its broker has none either")
@pytest.mark.parametrize("other", ["another key", "no key"])
def test_a_key_that_does_not_fit_is_told(broker: Broker, tmp_path: Path, other: str) -> None:
    theirs = Key.make(tmp_path / "theirs") if other == "another key" else None
    with pytest.raises(BrokerError) as caught:
        broker.commander(theirs)
    assert caught.value.refused
    assert "the broker refuses the key" in str(caught.value)
    broker.commander(Key.load(tmp_path / "key")).close()


def test_who_knows_the_public_key_alone_is_not_admitted(broker: Broker, key: Key) -> None:
    public, secret = (part.decode() for part in zmq.curve_keypair())
    with Channels(None) as mine:
        socket = mine.context.socket(zmq.PUB)
        socket.linger = 0
        socket.curve_publickey, socket.curve_secretkey = public.encode(), secret.encode()
        socket.curve_serverkey = key.public.encode()
        monitor = socket.get_monitor_socket()
        socket.connect(broker.ends["command-in"].url)
        with pytest.raises(BrokerError, match="refuses the key"):
            mine._await_handshake(monitor, "here", "the broker")
        socket.disable_monitor()
        monitor.close(0)


@tries("nothing came in {} s; is it launched, and is this its address?")
def test_a_broker_that_does_not_answer_is_told(broker: Broker, key: Key, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "ANSWER_S", 0.3)
    with pytest.raises(BrokerError, match="the broker does not answer; nothing came in 0.3 s") as caught:
        Commander(Endpoint("tcp://127.0.0.1:9"), Endpoint("tcp://127.0.0.1:9"), key)
    assert not caught.value.refused
    monkeypatch.undo()
    broker.commander(key).close()


@tries("another broker may be at work there")
def test_an_address_that_is_taken_is_told(broker: Broker, key: Key) -> None:
    taken = Endpoint(broker.ends["command-in"].url, bind=True)
    with Channels(key) as mine:
        with pytest.raises(SshjobsError, match="cannot be opened: Address already in use; another broker may be at work"):
            mine.open(zmq.XSUB, taken)
        broker.close()
        mine.open(zmq.XSUB, taken)


def test_a_broker_survives_a_peer_that_is_killed_in_the_middle_of_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """ZeroMQ's proxy ends with EAGAIN then; all that came later would wait for ever."""
    ends: list[zmq.ZMQError] = [zmq.Again(), zmq.Again(), zmq.ContextTerminated()]
    calls = []

    def proxy(frontend: object, backend: object) -> None:
        calls.append((frontend, backend))
        raise ends[len(calls) - 1]

    monkeypatch.setattr(zmq, "proxy", proxy)
    with zmq.Context() as context:
        one, other = context.socket(zmq.XSUB), context.socket(zmq.XPUB)
        _forward(one, other)
        assert calls == [(one, other)] * 3 and one.closed and other.closed


def test_a_broker_that_ends_again_and_again_closes_no_socket_that_another_thread_uses(tmp_path: Path) -> None:
    ini = tmp_path / "c.ini"
    ini.write_text("[BROKER]\n" + "".join(
        f"{name}_{side}_url = ipc://{tmp_path}/{name}-{side}\n" for name in ("a", "b") for side in ("frontend", "backend")))
    for _ in range(20):
        with Forwarding(None) as forwarding:
            forwarding.add(read_ini([ini]), "BROKER", "a", FORWARDER)
            forwarding.add(read_ini([ini]), "BROKER", "b", STREAMER)
            sockets = list(forwarding._channels.context._sockets)
        assert len(sockets) == 4 and all(socket.closed for socket in sockets)
        assert not any(thread.is_alive() for thread in forwarding._threads)
    with pytest.raises(SshjobsError, match="cannot be opened"), Forwarding(None) as forwarding:
        (tmp_path / "b-backend").unlink(missing_ok=True)
        (tmp_path / "b-backend").mkdir()
        forwarding.add(read_ini([ini]), "BROKER", "b", STREAMER)


def test_a_broker_rests_while_a_message_waits_for_a_receiver(tmp_path: Path) -> None:
    """ZeroMQ's proxy asks again and again then, and a worker that has just registered suffices for it."""
    ini = tmp_path / "c.ini"
    ini.write_text(f"[BROKER]\na_frontend_url = ipc://{tmp_path}/in\na_backend_url = ipc://{tmp_path}/out\n")
    with Forwarding(None) as forwarding, Channels(None) as mine:
        forwarding.add(read_ini([ini]), "BROKER", "a", STREAMER)
        mine.check(zmq.PUSH, Endpoint(f"ipc://{tmp_path}/in"))
        sender = mine.open(zmq.PUSH, Endpoint(f"ipc://{tmp_path}/in"))
        for number in range(3):
            sender.send_multipart([b"number", b"%d" % number])
        (thread,) = forwarding._threads
        assert thread.ident is not None
        clock = time.pthread_getcpuclockid(thread.ident)
        begun, until = time.clock_gettime(clock), time.monotonic() + 1
        while time.monotonic() < until:
            time.sleep(0.01)
            assert time.clock_gettime(clock) - begun < 0.1
        receiver = mine.open(zmq.PULL, Endpoint(f"ipc://{tmp_path}/out"))
        assert [receiver.recv_multipart() for _ in range(3)] == [[b"number", b"%d" % number] for number in range(3)]


#: Ctrl-C in every so many lines of pyzmq and of what stands on it, until the work is done before that line comes.
INTERRUPTED = """
import faulthandler, os, signal, sys
from sshjobs.pools.commands import Commander
from sshjobs.pools.config import Endpoint
from sshjobs.pools.keys import Key

command, log, public, secret, first, step = sys.argv[1:]
faulthandler.dump_traceback_later(60, exit=True)

def interrupt_at(number):
    lines = 0

    def look(frame, event, arg):
        nonlocal lines
        if not ("/zmq/" in frame.f_code.co_filename or "/pools/" in frame.f_code.co_filename):
            return None
        lines += event == "line"
        if event == "line" and lines == number:
            sys.settrace(None)
            os.kill(os.getpid(), signal.SIGINT)
        return look

    return look

interrupted, number = 0, int(first)
while True:
    sys.settrace(interrupt_at(number))
    try:
        with Commander(Endpoint(command), Endpoint(log), Key(public, secret)) as commander:
            commander.ping(0.001)
    except KeyboardInterrupt:
        interrupted += 1
    else:
        if sys.gettrace() is not None:
            break
    finally:
        sys.settrace(None)
    number += int(step)
print(interrupted)
"""


def test_ctrl_c_in_any_line_of_zeromq_ends_what_it_interrupts(broker: Broker, key: Key) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    first, step = random.Random(seed).randrange(1, 4), 3
    ends = [broker.ends["command-in"].url, broker.ends["log-out"].url]
    done = subprocess.run([sys.executable, "-c", INTERRUPTED, *ends, key.public, key.secret, str(first), str(step)],
                          env={**os.environ, **cli_environment()}, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout) > 200


def test_an_exception_of_a_signal_is_put_off_and_then_raised() -> None:
    raised: list[str] = []

    def end(number: int, frame: FrameType | None) -> None:
        raise SshjobsError("ended")

    before = signal.signal(signal.SIGTERM, end)
    try:
        with pytest.raises(SshjobsError, match="ended"), channels.unbroken():
            signal.raise_signal(signal.SIGTERM)
            raised.append("not yet")
        assert signal.getsignal(signal.SIGTERM) is end
    finally:
        signal.signal(signal.SIGTERM, before)
    assert raised == ["not yet"]
