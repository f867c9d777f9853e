"""What the network remembers of an attempt from its launch until the host has forgotten it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sshjobs.model.attempt import Inputs, LeftOut
from sshjobs.model.causes import Cause
from sshjobs.model.host import Host
from sshjobs.model.keys import KEYS
from sshjobs.model.outputs import Brought
from sshjobs.model.params import variables
from sshjobs.model.spec import Job, JobSpec
from sshjobs.model.states import Outcome
from sshjobs.network.protocol.frames import ENDS


class LiveAttempt:
    """One attempt on one host, as the network's loop knows it. Survives every connection.

    :ivar spec: what it is launched with; more than its job says where an earlier attempt lacked that
    :ivar place: the directory that its output goes to, as text: few attempts need more
    :ivar have: bytes of stdout and stderr that are in the local files
    :ivar crc: crc32 of those bytes, ``None`` where an earlier manager took in some of them
    :ivar seen: the host has said that it knows the attempt
    :ivar boot: boot id of the host that it may be sent to; ``None``: it does not matter
    :ivar sent_on: boot id of the host when the launch was last sent, ``None`` before the first time
    :ivar over: its end has come; only its release is still to do
    :ivar unwanted: it is to be taken back if it has not started
    :ivar sent_over: number of the connection over which the launch was last sent; ``told_over``: the same of the host's
        word that it runs; ``fenced_over``: the same of a fence because the host did not know it
    :ivar gpus: the UUIDs of the GPUs that it is given; ``None``: none
    :ivar brought: which of its files were brought
    :ivar keeps: the directory that was made for it stays on its host; known at its end
    :ivar made: the files of its output are there, as far as this manager has seen to it
    :ivar inputs: what was sent with its launch, or is used beside that, as far as this manager knows
    :ivar sources: the names of the jobs whose files it is given, by the name of their entry
    :ivar paused: whether its processes are to be stopped; ``None`` where nobody has said anything about that
    """

    __slots__ = ("boot", "brought", "cancelling", "crc", "fenced_over", "gpus", "grace", "have", "inputs", "keeps",
                 "keys", "made", "may_have_run", "over",
                 "paused", "place", "seen", "sent_on", "sent_over", "sources", "spec", "told_over", "uid", "unwanted")

    def __init__(self, uid: str, job: Job, token: str, directory: Path | str, spec: JobSpec | None = None):
        self.uid, self.spec, self.place = uid, spec or job.spec, str(directory)
        self.sources, job.sources = job.sources, None
        self.keys = {"id": uid, "token": token, "job": job.name, "index": job.spec.index}
        self.have = [0, 0]
        self.crc: list[int | None] = [0, 0]
        self.brought: Brought | None = None
        self.made = self.seen = self.may_have_run = self.over = self.cancelling = self.unwanted = self.keeps = False
        self.gpus: tuple[str, ...] | None = None
        self.grace = 0.0
        self.boot: str | None = None
        self.sent_on: str | None = None
        self.sent_over = self.told_over = self.fenced_over = 0
        self.paused: bool | None = None
        self.inputs: Inputs | None = None

    @property
    def directory(self) -> Path:
        """The directory that its output goes to."""
        return Path(self.place)

    def path(self, stream: int) -> Path:
        """Return the local file of a stream (1 stdout, 2 stderr)."""
        return self.directory / ("stdout" if stream == 1 else "stderr")


class Started(NamedTuple):
    """An attempt runs. ``at`` is the host's clock, ``None`` where only the fact is known."""

    uid: str
    pid: int | None
    at: float | None
    inputs: Inputs | None = None


class Doubted(NamedTuple):
    """The host has been down since the launch was sent: when it does not know the attempt, that may have run."""

    uid: str


class Collected(NamedTuple):
    """An attempt runs no more, and its files are on their way. Its end follows."""

    uid: str


class Ended(NamedTuple):
    """An attempt is over and all of its output is in the local files, as are the files that were to be brought."""

    uid: str
    outcome: Outcome
    status: int | None
    signal: int | None
    started: float | None
    ended: float | None
    reason: str | None
    cpu: float | None
    rss: int | None
    sizes: tuple[int, int]
    crcs: tuple[int | None, int | None] = (None, None)
    cause: Cause | None = None
    #: What the job left as its result, a line of JSON.
    result: str | None = None
    inputs: Inputs | None = None
    brought: Brought | None = None
    left_out: LeftOut | None = None


_compact = json.JSONEncoder(separators=(",", ":")).encode
#: The exit statuses that are a success where a job says nothing about that.
_ZERO = (0,)


def ended_from(frame: dict[str, Any], ok_exit: Sequence[int] | None = None) -> Ended:
    """Return the event that an ``ended`` frame tells.

    :param ok_exit: exit statuses that are a success; ``None``: 0 alone
    """
    why = frame["why"]
    outcome, cause = ENDS[why]
    if why == "exited":
        outcome = Outcome.SUCCEEDED if frame["status"] in (ok_exit or _ZERO) else Outcome.FAILED
    # Only how the main process went is its exit status or its signal; for other ends they are a by-product.
    status = frame["status"] if why == "exited" else None
    signal = frame["signal"] if why == "signalled" else None
    said = [text for text in (frame["msg"], frame.get("bad_result")) if text]
    return Ended(frame["id"], outcome, status, signal, frame["started"], frame["ended"], "; ".join(said) or None,
                 frame["cpu"], frame["rss"], (frame["out"], frame["err"]), cause=cause,
                 result=_compact(left) if (left := frame.get("result")) else None,
                 left_out=LeftOut(**cut) if (cut := frame.get("left_out")) else None)


def forgotten(attempt: LiveAttempt) -> Ended:
    """Return the end of an attempt that its host was told to forget: it has ended there, and nobody knows how."""
    sizes = attempt.have[0], attempt.have[1]
    return Ended(attempt.uid, Outcome.LOST, None, None, None, None, None, None, None, sizes, cause=Cause.FORGOTTEN)


def never_started(attempt: LiveAttempt, reason: str, *, lasting: bool = True) -> Ended:
    """Return the end of an attempt that was not sent to its host, for a reason that lies here.

    :param lasting: sending it again would end alike
    """
    return Ended(attempt.uid, Outcome.NEVER_STARTED, None, None, None, None, reason, None, None, (0, 0),
                 cause=Cause.NOT_SENT if lasting else None)


#: Keys that hosts are told of, with what goes without saying.
_FAR = tuple((name, key.default) for name, key in KEYS.items() if key.far)


def launch_spec(spec: JobSpec, host: Host | None = None) -> dict[str, Any]:
    """Return what a launch frame says of a spec, and nothing of what goes without saying; its files are added when
    they are known.

    :param host: adds its variables, and its ``wrap`` and ``nice`` where the spec says nothing about that
    """
    keys: dict[str, Any] = {"argv": spec.argv} if spec.argv else {
        "script": "".join(f"{line}\n" for line in spec.cmds), "strict": spec.strict, "login": spec.login}
    if spec.call is not None:
        keys["call"] = spec.call
    for key, default in _FAR:
        if (value := getattr(spec, key)) != default:
            keys[key] = value
    if host is not None and host.env:
        keys["env"] = {**dict(host.env), **keys.get("env", {})}
    if host is not None and host.wrap and spec.wrap is None:
        keys["wrap"] = list(host.wrap)
    if host is not None and host.nice and not spec.nice:
        keys["nice"] = host.nice
    if not keys.get("wrap") or spec.call is not None:
        # A function is forked from a process that runs already.
        keys.pop("wrap", None)
    if spec.values:
        keys["env"] = {**keys.get("env", {}), **variables(spec.params)}
    return keys
