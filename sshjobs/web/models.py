"""What the API takes and gives, as pydantic models: names, types and bounds in one place."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from sshjobs.model.states import STATES, Outcome

State = Literal["free", "busy", "done", "unknown", "error"]
assert list(State.__args__) == STATES  # type: ignore[attr-defined]
Sort = Literal["number", "name", "state", "host", "seconds"]
_Text = Annotated[str, Field(max_length=1024)]


def _as_list(value: object) -> object:
    """Take one value of a query for a list of one, and none for an empty list."""
    return value if isinstance(value, list) else [value] if value else []


class Taken(BaseModel):
    """What comes from a browser: unknown names are refused."""

    model_config = ConfigDict(extra="forbid")


# -- taken ---------------------------------------------------------------------------------------------------------

class Login(Taken):
    token: Annotated[str, Field(max_length=256)]


class Nothing(Taken):
    pass


class OfRun(Taken):
    run: _Text


class OfHost(OfRun):
    host: _Text


class OfJob(OfRun):
    job: _Text


class JobsAsked(OfRun):
    """Which jobs, in which order, which page of them. ``params``: ``lr=0.1, seed=3``, or ``train[lr=0.1]``."""

    state: Annotated[list[State], BeforeValidator(_as_list)] = []
    outcome: Annotated[list[Outcome], BeforeValidator(_as_list)] = []
    host: _Text | None = None
    params: Annotated[str, Field(max_length=1000)] = ""
    search: Annotated[str, Field(max_length=200)] = ""
    sort: Sort = "number"
    order: Literal["asc", "desc"] = "asc"
    offset: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    limit: Annotated[int, Field(ge=1, le=500)] = 100


class TableAsked(OfRun):
    """Which rows of the table of a run, in which order, which page of them; ``where`` and ``sort`` as ``sshjobs table``
    takes them."""

    where: Annotated[str, Field(max_length=1000)] = ""
    sort: Annotated[str, Field(max_length=500)] = ""
    offset: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    limit: Annotated[int, Field(ge=1, le=500)] = 100


class OutputAsked(OfJob):
    """A piece of what a job wrote. Without an offset its end is meant."""

    stream: Literal["stdout", "stderr"]
    offset: Annotated[int, Field(ge=0, le=1 << 60)] | None = None
    limit: Annotated[int, Field(ge=1, le=1 << 18)] = 1 << 16
    attempt: Annotated[int, Field(ge=1, le=1_000_000)] | None = None


class DownloadAsked(OfJob):
    stream: Literal["stdout", "stderr"]
    attempt: Annotated[int, Field(ge=1, le=1_000_000)] | None = None


class FilesAsked(OfJob):
    attempt: Annotated[int, Field(ge=1, le=1_000_000)] | None = None


class FileAsked(FilesAsked):
    """A fetched file; ``path`` is below the job's outputs."""

    path: Annotated[str, Field(max_length=4096)]


class TimelineAsked(OfRun):
    """A window of time, seconds since the epoch; without one, the whole run. ``skip``: so many hosts are left out."""

    begin: float | None = None
    end: float | None = None
    bins: Annotated[int, Field(ge=1, le=1000)] = 300
    skip: Annotated[int, Field(ge=0, le=1_000_000)] = 0


class EventsOfAll(Taken):
    every: Annotated[float, Field(ge=1, le=3600)] = 1.0


class EventsAsked(OfRun):
    every: Annotated[float, Field(ge=1, le=3600)] = 1.0


class JobsNamed(Taken):
    """Jobs by name; ``null`` for all that it can be about."""

    jobs: Annotated[list[_Text], Field(max_length=10_000)] | None


class HostsNamed(Taken):
    hosts: Annotated[list[_Text], Field(min_length=1, max_length=1000)]


class SlotsAsked(HostsNamed):
    """How many jobs these hosts take at a time. Fewer than run there: those end first, unless ``cancel_surplus``."""

    slots: Annotated[int, Field(ge=1, le=4096)]
    cancel_surplus: bool = False


# -- given ---------------------------------------------------------------------------------------------------------

class RunInfo(BaseModel):
    """Where a run stands. ``damaged``: its store cannot be read, and why."""

    name: str
    state: str
    created: float
    total: int
    counts: dict[str, int]
    outcomes: dict[str, int]
    paused: bool
    hosts: int
    version: int
    damaged: str | None = None


class Runs(BaseModel):
    runs: list[RunInfo]
    read_only: bool
    poll_seconds: float


class HostInfo(BaseModel):
    """One host. Times are seconds since the epoch, sizes bytes; what nobody knows is ``null``.

    ``memory_free``, ``disk``, ``gpu_use`` (mean, percent), ``load``, ``sent`` and ``received``: as it last said, at
    ``heard``. ``runs``: how many runs have it, where several are shown together.
    """

    name: str
    address: str
    slots: int | None
    busy: int
    done: int
    failed: int
    cpu: float
    seconds_per_job: float | None
    output: int
    cores: int | None
    memory: int | None
    memory_free: int | None
    disk: int | None
    gpus: int | None
    gpu_use: float | None
    load: float | None
    sent: int | None
    received: int | None
    heard: float | None
    state: str | None
    reason: str | None
    since: float | None
    drained: bool
    runs: list[str] = []


class Overview(BaseModel):
    """A run and its hosts. ``ready``: the figures of the hosts cover all jobs; ``rate``: ends per second;
    ``seconds_left``: until its end as expected, half the time, ``seconds_left_p90`` nine times in ten."""

    run: RunInfo
    rate: float | None
    seconds_left: float | None
    seconds_left_p90: float | None = None
    ready: bool
    hosts: list[HostInfo]


class JobInfo(BaseModel):
    """One job. ``cpu`` (seconds) and ``rss`` (bytes): of its newest attempt; while that runs, as its host last said."""

    number: int
    name: str
    state: str
    outcome: str | None
    host: str | None
    exit_status: int | None
    signal: int | None
    reason: str | None
    attempts: int
    started: float | None
    seconds: float | None
    cpu: float | None = None
    rss: int | None = None


class Jobs(BaseModel):
    """A page of jobs. ``more``: more fit than were counted; ``ready``: false while the run is still being read."""

    total: int
    more: bool
    ready: bool
    offset: int
    jobs: list[JobInfo]


class TableInfo(BaseModel):
    """A page of the table of a run. ``numbers``: which columns hold numbers only; ``left_out``: how many columns more
    there are."""

    columns: list[str]
    numbers: list[bool]
    rows: list[list[str | int | float | bool | None]]
    total: int
    offset: int
    left_out: int


class LeftOutInfo(BaseModel):
    """What was left out of the outputs of an attempt with a limit: behind how many bytes of each, and how many."""

    at: int
    out: int
    err: int


class AttemptInfo(BaseModel):
    """One attempt. ``origin``: the run that it was made in and is carried over from; ``null``: this one. ``why``: the
    cause of its end and what shows it, where it did not succeed and that is not all in ``outcome``."""

    n: int
    host: str
    state: str
    outcome: str | None
    exit_status: int | None
    signal: int | None
    reason: str | None
    started: float | None
    ended: float | None
    pid: int | None
    cpu: float | None
    rss: int | None
    out_size: int | None
    err_size: int | None
    origin: str | None
    why: str | None
    left_out: LeftOutInfo | None


class FileInfo(BaseModel):
    """A fetched file. ``image``: it may be shown as a picture; everything else is for downloading."""

    path: str
    size: int
    image: bool


class Files(BaseModel):
    files: list[FileInfo]
    more: bool


class JobDetail(BaseModel):
    """One job with all its attempts. ``command``: what it runs, as text; ``waits``: why it was not launched yet;
    ``why``: why it ended without success, where its outcome does not say it all; ``paused``: by a person; ``result``:
    what its newest attempt left, by names.
    """

    job: JobInfo
    waits: str | None
    why: str | None
    paused: bool
    command: str
    params: dict[str, str]
    result: dict[str, object]
    spec: dict[str, object]
    attempts: list[AttemptInfo]
    stdout: int
    stderr: int


class GpuInfo(BaseModel):
    """One GPU. ``use``: percent; ``memory``: bytes taken; both as the host last said."""

    name: str
    use: int | None
    memory: int | None


class GpuHolder(BaseModel):
    """A GPU, or an instance of one, with who has it: ``job``, one of this run; ``by``, in words, who else uses it or
    why it cannot be used, as the host last said. Where both are null it is free, as far as the host has told."""

    uuid: str
    label: str | None
    name: str | None
    job: str | None
    by: str | None


class HostDetail(BaseModel):
    """One host: its facts, its GPUs and who has them where jobs of the run need some, what runs there, what ended there
    last, and its failures beside all others'."""

    host: HostInfo
    gpus: list[GpuInfo]
    gpu_holders: list[GpuHolder]
    facts: dict[str, object]
    running: list[JobInfo]
    finished: list[JobInfo]
    failure_share: float | None
    failure_share_elsewhere: float | None


class Row(BaseModel):
    """A host on the timeline: for each bin the mean number of jobs there, and how many failed in it."""

    host: str
    busy: list[float]
    failed: list[int]


class Bar(BaseModel):
    job: str
    host: str
    lane: int
    outcome: str | None
    started: float
    ended: float


class TimelineInfo(BaseModel):
    """The timeline of a window: bins or, where few attempts are in it, each as a bar. ``hosts``: how many hosts there
    are in all; 100 of them are told of at a time.
    """

    begin: float
    end: float
    rows: list[Row]
    bars: list[Bar]
    hosts: int
    ready: bool


class Done(BaseModel):
    """An act was carried out. ``live``: by the run's manager; else it is kept for the next one."""

    live: bool
    jobs: list[str] = []
    hosts: list[str] = []
    refused: list[str] = []
