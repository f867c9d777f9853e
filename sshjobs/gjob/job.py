"""What a runner knows of the attempt that it has."""

MYPY = False
if MYPY:
    from typing import Any

    from . import pipes as pipes_
    from .kill import Killer


class Job:
    """The attempt that runs now."""

    def __init__(self, launch: "dict[str, Any]"):
        self.launch = launch
        self.uid: str = launch["id"]
        spec = launch["spec"]
        self.keep = spec.get("leftovers") == "keep"
        self.timeout: "float | None" = spec.get("timeout")
        self.lease: "float | None" = spec.get("lease")
        self.deadline: "float | None" = None
        self.pid = 0
        self.started_at: "float | None" = None
        self.tell_at: "float | None" = None
        self.ended_at = 0.0
        self.over = False
        self.status: "int | None" = None
        self.signal: "int | None" = None
        self.why: "str | None" = None
        self.killer: "Killer | None" = None
        self.pipes: "pipes_.Pipes | None" = None
        self.stuck: "list[int]" = []
        self.clear = 0
        self.cpu, self.rss = 0.0, 0
