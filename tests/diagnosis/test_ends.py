"""The cause of an end: what is certain is said so, what a program wrote makes it probable, and nothing else counts."""

from __future__ import annotations

from typing import Any

import pytest

from sshjobs.diagnosis.ends import WORDS, Diagnosis, End, diagnose
from sshjobs.model.causes import Cause, EndCause
from sshjobs.model.states import Outcome


def found(outcome: str, *lines: str, status: int | None = None, signal: int | None = None, cause: str | None = None,
          reason: str | None = None) -> Diagnosis:
    return diagnose(End(outcome, status, signal, cause, reason), lines)


@pytest.mark.parametrize(("keys", "cause"), [
    ({"outcome": "timed_out"}, "timeout"),
    ({"outcome": "out_of_memory"}, "out_of_memory"),
    ({"outcome": "signalled", "signal": 9}, "signal"),
    ({"outcome": "lost", "cause": "reboot"}, "host_rebooted"),
    ({"outcome": "lost", "cause": "status_unknown"}, "runner_lost"),
    ({"outcome": "lost", "cause": "declared_lost"}, "host_lost"),
    ({"outcome": "lost", "cause": "lease"}, "lease"),
    ({"outcome": "lost"}, "host_lost"),
    ({"outcome": "cancelled"}, "cancelled"),
    ({"outcome": "skipped", "reason": "a did not succeed"}, "skipped"),
    ({"outcome": "failed", "cause": "output_missing", "reason": "model.bin"}, "missing_output"),
    ({"outcome": "never_started", "cause": "not_sent", "reason": "data.csv is not here"}, "missing_input"),
    ({"outcome": "never_started", "cause": "no_room"}, "not_started"),
    ({"outcome": "never_started", "cause": "cannot_start", "reason": "no such program: fit"}, "no_such_program"),
    ({"outcome": "never_started", "cause": "cannot_start", "reason": "no such directory: /data"}, "missing_input"),
    ({"outcome": "never_started", "cause": "cannot_start", "reason": "not allowed to run ./x: it has no execute bit"}, "not_executable"),
    ({"outcome": "never_started", "cause": "cannot_start",
      "reason": "./x cannot be executed: the loader that it asks for is not on this host"}, "missing_library"),
    ({"outcome": "never_started", "reason": "fork failed"}, "not_started"),
    ({"outcome": "failed", "status": 3}, "exit"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_what_hosts_and_we_know_is_certain_whatever_the_job_wrote(keys: dict[str, Any], cause: str) -> None:
    told = found(*(keys["outcome"], *([] if cause in ("exit", "signal") else ["CUDA error: no"])),
                 **{key: value for key, value in keys.items() if key != "outcome"})
    assert (told.cause.value, told.proved) == (cause, True)
    assert told.evidence


#: What programs write, as they write it, with their status.
WRITTEN = [
    ("gpu_error", 1, "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of"),
    ("gpu_error", 1, "RuntimeError: CUDA error: device-side assert triggered"),
    ("gpu_error", 1, "RuntimeError: No CUDA GPUs are available"),
    ("gpu_error", 1, "F0101 cuda_device.cc:1 CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected"),
    ("gpu_error", 9, "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."),
    ("gpu_error", 1, "ncclUnhandledCudaError: Call to CUDA function failed."),
    ("disk_full", 1, "cat: write error: No space left on device"),
    ("disk_full", 1, "OSError: [Errno 122] Disk quota exceeded"),
    ("disk_full", 1, "sqlite3.OperationalError: database or disk is full"),
    ("out_of_memory", 1, "MemoryError"),
    ("out_of_memory", 1, "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 8 GiB\nMemoryError"),
    ("out_of_memory", 134, "terminate called after throwing an instance of 'std::bad_alloc'"),
    ("out_of_memory", 1, "Exception in thread \"main\" java.lang.OutOfMemoryError: Java heap space"),
    ("out_of_memory", 2, "bash: fork: Cannot allocate memory"),
    ("missing_library", 127, "./fit: error while loading shared libraries: libcudart.so.12: cannot open shared object file: No such file or directory"),
    ("missing_library", 1, "ModuleNotFoundError: No module named 'torch'"),
    ("missing_library", 1, "./fit: /lib/libc.so.6: version `GLIBC_2.38' not found (required by ./fit)"),
    ("missing_library", 1, "Error in library(ggplot2) : there is no package called ‘ggplot2’"),
    ("not_executable", 126, "/tmp/s: line 1: ./fit.sh: Permission denied"),
    ("not_executable", 126, "bash: ./fit: cannot execute binary file: Exec format error"),
    ("not_executable", 126, "something else"),
    ("no_such_program", 127, "/tmp/s: line 1: fitt: command not found"),
    ("no_such_program", 127, "sh: 1: fitt: not found"),
    ("no_such_program", 127, "env: 'python5': No such file or directory"),
    ("no_such_program", 127, "whatever"),
    ("missing_input", 1, "cat: data.csv: No such file or directory"),
    ("missing_input", 1, "FileNotFoundError: [Errno 2] No such file or directory: 'data.csv'"),
    ("missing_input", 2, "python3: can't open file 'fit.py': [Errno 2] No such file or directory"),
    ("signal", 137, "/tmp/s: line 2: 4711 Killed                  ./fit"),
    ("signal", 139, ""),
]


@pytest.mark.parametrize(("cause", "status", "line"), WRITTEN)
def test_what_a_program_wrote_makes_a_cause_probable(cause: str, status: int, line: str) -> None:
    told = found("failed", *line.splitlines(), status=status)
    assert (told.cause.value, told.proved) == (cause, False)
    assert told.words.startswith("probably ")


@pytest.mark.parametrize(("status", "lines"), [
    (1, ["assertion failed at step 3"]),
    (1, []),
    (1, ["CUDA_VISIBLE_DEVICES=0", "CUDA version 12.4", "loss is nan"]),
    (1, ["training on cuda:0", "no improvement"]),
    (1, ["warning: cache.db: No such file or directory", "step 1", "step 2", "loss is nan"]),
    (2, ["permission denied by the referee"]),
    (1, ["command not found"]),
    (255, []),
    (128, ["x"]),
    (200, ["x"]),
])
def test_what_tells_nothing_is_the_jobs_own_exit(status: int, lines: list[str]) -> None:
    told = found("failed", *lines, status=status)
    assert (told.cause, told.proved) == (EndCause.EXIT, True)


def test_the_last_line_that_tells_anything_counts() -> None:
    told = found("failed", "MemoryError was handled", "No space left on device", "goodbye", status=1)
    assert told.cause is EndCause.DISK_FULL
    assert told.line == "No space left on device"


def test_of_a_program_that_aborts_what_it_wrote_counts_and_of_one_that_was_killed_it_does_not() -> None:
    assert found("signalled", "terminate called: CUDA error: x", signal=6).cause is EndCause.GPU_ERROR
    assert found("signalled", "terminate called: CUDA error: x", signal=9).cause is EndCause.SIGNAL


def test_every_cause_has_words_and_every_stored_cause_and_outcome_is_told() -> None:
    assert set(WORDS) == set(EndCause)
    for outcome in Outcome:
        for cause in (None, *Cause):
            if outcome is not Outcome.SUCCEEDED:
                assert found(outcome.value, cause=cause and cause.value, status=1 if outcome is Outcome.FAILED else None).evidence


def test_the_table_survives_hostile_lines() -> None:
    # A minute of backtracking would be as good as a hang.
    line = "failed to allocate " + "a" * 200_000 + " version `" + "'" * 5 + "\x1b[2J" * 1000
    assert found("failed", line, status=1).cause is EndCause.EXIT
