"""What a runner knows of the attempt that it has."""

MYPY = False
if MYPY:
    from typing import Any

    from .kill import Killer
    from .pipes import Pipes

#: What a job's text has in it that opens its own outputs anew.
_NAMES = ("/dev/stdout", "/dev/stderr", "/dev/fd/", "/proc/self/fd", "/proc/$")


def wants_pipes(spec: "dict[str, Any]") -> bool:
    """True where a job is to have pipes: it asks for them, has a limit of output, or its text names its own outputs.
    What is left running at its end (``leftovers: keep``) may not: nobody would read any more."""
    if spec.get("leftovers") == "keep":
        return False
    if spec.get("output") == "pipe" or spec.get("output_limit") is not None:
        return True
    texts = [spec["script"]] if "script" in spec else spec["argv"]
    return any(("/dev/" in text or "/proc/" in text) and any(name in text for name in _NAMES) for text in texts)


class Job:
    """The attempt that runs now."""

    def __init__(self, launch: "dict[str, Any]"):
        self.launch = launch
        self.uid: str = launch["id"]
        spec = launch["spec"]
        self.keep = spec.get("leftovers") == "keep"
        self.timeout: "float | None" = spec.get("timeout")
        self.lease: "float | None" = spec.get("lease")
        self.limit: "int | None" = spec.get("output_limit")
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
        self.pipes: "Pipes | None" = None
        self.stuck: "list[int]" = []
        self.clear = 0
        self.cpu, self.rss = 0.0, 0
