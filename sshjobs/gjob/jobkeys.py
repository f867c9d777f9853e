"""The keys of a launch's job: a check for each, and, for those that change how the program is started, the change. What
the other keys mean is decided in runner and agent."""

from .values import MAX_PATH, is_blob, is_bool, is_files, is_seconds, is_text, to_bytes

MYPY = False
if MYPY:
    from typing import Any, Callable


#: Variables that tell libraries how many threads to use.
THREADS = (b"OMP_NUM_THREADS", b"MKL_NUM_THREADS", b"OPENBLAS_NUM_THREADS", b"BLIS_NUM_THREADS",
           b"NUMEXPR_NUM_THREADS")


#: The characters of a GPU's UUID.
_UUID = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789./-"


class Start:
    """How a job's program is going to be started.

    :ivar argv: the program and its arguments
    :ivar env: its environment
    :ivar before: what its process does before it becomes the program: functions of ``os`` by name, with an argument
    """

    def __init__(self, argv: "list[bytes]", env: "dict[bytes, bytes]"):
        self.argv, self.env = argv, env
        self.before: "list[tuple[str, Any]]" = []


def _is_argv(value: "Any") -> bool:
    return type(value) is list and len(value) > 0 and all(map(is_text, value)) and value[0] != ""


def _is_env(value: "Any") -> bool:
    return type(value) is dict and all(
        is_text(name) and name != "" and "=" not in name and is_text(value[name]) for name in value)


def _is_cwd(value: "Any") -> bool:
    return value is None or (is_text(value) and value != "" and len(value) <= MAX_PATH)


def _is_timeout(value: "Any") -> bool:
    return value is None or is_seconds(value)


def _is_lease(value: "Any") -> bool:
    return value is None or (is_seconds(value) and value > 0)


def _is_cpus(value: "Any") -> bool:
    return type(value) is int and 0 < value <= 4096


def _is_memory(value: "Any") -> bool:
    return type(value) is int and 0 < value < 1 << 63


def _is_needs(value: "Any") -> bool:
    return type(value) is dict and len(value) <= 32 and all(
        is_text(name) and 0 < len(name) <= 64 and type(value[name]) is int and 0 < value[name] <= 1000000
        for name in value)


def _is_nice(value: "Any") -> bool:
    return type(value) is int and -20 <= value <= 19


def _is_leftovers(value: "Any") -> bool:
    return value in ("kill", "keep")


def _is_output(value: "Any") -> bool:
    return value in ("file", "pipe")


def _is_output_limit(value: "Any") -> bool:
    return type(value) is int and 0 <= value <= 1 << 50


def _is_python(value: "Any") -> bool:
    return is_text(value) and 0 < len(value) <= 16


def _is_gpus(value: "Any") -> bool:
    return (type(value) is dict and sorted(value) == ["busy", "uuids"] and type(value["busy"]) is int
            and 0 <= value["busy"] < 1 << 60 and type(value["uuids"]) is list and 0 < len(value["uuids"]) <= 256
            and all(type(uuid) is str and 0 < len(uuid) <= 100 and not uuid.strip(_UUID) for uuid in value["uuids"]))


#: By key: whether a value is allowed.
CHECKS: "dict[str, Callable[[Any], bool]]" = {
    "argv": _is_argv, "script": is_text, "strict": is_bool, "login": is_bool, "env": _is_env,
    "cwd": _is_cwd, "timeout": _is_timeout, "lease": _is_lease, "nice": _is_nice, "leftovers": _is_leftovers,
    "stdin": is_blob, "files": is_files, "listing": is_blob, "output": _is_output, "output_limit": _is_output_limit,
    "call": _is_python, "memory": _is_memory, "scratch": _is_memory, "wrap": _is_argv, "cpus": _is_cpus,
    "needs": _is_needs, "gpus": _is_gpus,
}


def _nice(start: Start, value: int) -> None:
    if value:
        start.before.append(("nice", value))


def _cpus(start: Start, value: int) -> None:
    start.env[b"SSHJOBS_CPUS"] = b"%d" % value
    for name in THREADS:
        start.env.setdefault(name, b"%d" % value)


def _memory(start: Start, value: int) -> None:
    start.env[b"SSHJOBS_MEMORY"] = b"%d" % value


def _gpus(start: Start, value: "dict[str, Any]") -> None:
    from .gputool import nvidia_smi  # only where there are GPUs

    text = ",".join(value["uuids"]).encode("ascii")
    start.env[b"SSHJOBS_GPUS"] = text
    start.env[b"CUDA_VISIBLE_DEVICES" if nvidia_smi() else b"ROCR_VISIBLE_DEVICES"] = text


def _wrap(start: Start, words: "list[str]") -> None:
    start.argv[:0] = [to_bytes(word) for word in words]


#: By key: what it changes in the start of the program.
CHANGES: "dict[str, Callable[[Start, Any], None]]" = {
    "nice": _nice, "cpus": _cpus, "memory": _memory, "wrap": _wrap, "gpus": _gpus}
