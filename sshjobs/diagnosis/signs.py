"""What programs write when they end for a well-known reason: one table, applied to the last lines of a job's output.

What it finds is probable and never certain: a program may write anything.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from sshjobs.model.causes import EndCause

#: How many of the last lines of an output are looked at.
MOST_LINES = 20
#: A shell's exit status where it cannot run a program, and where it finds none; what it adds to a signal's number.
NOT_EXECUTABLE, NOT_FOUND, SIGNALLED = 126, 127, 128


class Sign(NamedTuple):
    """A line that tells a cause.

    :ivar within: how many of the last lines it is looked for in; few for a line that is common in any log
    :ivar status: it counts only together with this exit status
    """

    cause: EndCause
    pattern: re.Pattern[str]
    within: int = MOST_LINES
    status: int | None = None


def _sign(cause: EndCause, *patterns: str, within: int = MOST_LINES, status: int | None = None) -> Sign:
    return Sign(cause, re.compile("|".join(patterns)), within, status)


#: Where several match a line, the first counts: special signs come before general ones.
SIGNS = (
    _sign(EndCause.GPU_ERROR,
          r"CUDA[ _](?:out of memory|error|driver|runtime|kernel|exception|initiali[sz]ation)", r"\bCUDA_ERROR_[A-Z]",
          r"\bcuda(?:Error\w+|GetDevice\w*\(\)| runtime error)", r"\bCUDNN_STATUS_(?!SUCCESS)", r"\bcuDNN error",
          r"\bCUBLAS_STATUS_(?!SUCCESS)", r"\bNCCL (?:error|failure)", r"\bnccl\w+Error", r"\bhipError(?!Success)\w+",
          r"\bHIP (?:error|out of memory)", r"[Nn]o CUDA-capable device", r"[Nn]o CUDA GPUs are available",
          r"Found no NVIDIA driver", r"NVIDIA-SMI has failed", r"GPU has fallen off the bus", r"\bNVRM: Xid\b",
          r"\bCL_(?:OUT_OF_RESOURCES|DEVICE_NOT_FOUND|MEM_OBJECT_ALLOCATION_FAILURE)\b"),
    _sign(EndCause.DISK_FULL, r"No space left on device", r"[Dd]isk quota exceeded", r"\bENOSPC\b", r"\bEDQUOT\b",
          r"database or disk is full", r"[Nn]ot enough (?:free )?space on"),
    _sign(EndCause.OUT_OF_MEMORY, r"\bMemoryError\b", r"\bstd::bad_alloc\b", r"Cannot allocate memory",
          r"\bOutOfMemoryError\b", r"\bOut of memory\b", r"\boom-kill", r"memory exhausted",
          r"can't allocate memory", r"cannot allocate vector of size", r"\bfailed to allocate .{0,40}bytes"),
    _sign(EndCause.MISSING_LIBRARY, r"error while loading shared libraries", r"cannot open shared object file",
          r"version `[^']{1,80}' not found", r"symbol lookup error", r"\bModuleNotFoundError\b",
          r"\bNo module named\b", r"\bImportError: ", r"there is no package called", r"\bNoClassDefFoundError\b",
          r"\bClassNotFoundException\b", r"Could not find or load main class", r"Can't locate \S+ in @INC",
          r"cannot load such file", r"Cannot find module '"),
    _sign(EndCause.NOT_EXECUTABLE, r"[Pp]ermission denied", r"cannot execute", r"[Ee]xec format error",
          r"bad interpreter", r"[Ii]s a directory", status=NOT_EXECUTABLE),
    _sign(EndCause.NO_SUCH_PROGRAM, r"command not found", r": not found\b", r"No such file or directory",
          status=NOT_FOUND),
    _sign(EndCause.MISSING_INPUT, r"\bFileNotFoundError\b", r"No such file or directory", r"\bENOENT\b",
          r"\bNoSuchKey\b", r"[Ff]ile not found", r"[Cc]annot (?:open|find|access) (?:input )?file", r"does not exist",
          within=3),
)
#: What our own agent says when it cannot start a program: certain, unlike the signs above.
_OWN = (
    _sign(EndCause.NO_SUCH_PROGRAM, r"\Ano such program: "),
    _sign(EndCause.MISSING_LIBRARY, r"the loader that it asks for is not on this host"),
    _sign(EndCause.MISSING_INPUT, r"\A(?:no such directory|not a directory): "),
    _sign(EndCause.NOT_EXECUTABLE, r"\Anot allowed to run ", r"cannot be executed", r"is a directory, not a program",
          r"\Athe first line of ", r"cannot be started: "),
)


def read(lines: Sequence[str], status: int | None) -> tuple[EndCause, str] | None:
    """Return the cause that the last lines of an output tell, and the line that tells it; ``None`` where none does.
    Of several such lines the last one counts.

    :param lines: the lines in their order
    :param status: the exit status; ``None`` where there is none
    """
    for back, line in enumerate(reversed(lines)):
        for sign in SIGNS:
            if back < sign.within and sign.status in (None, status) and sign.pattern.search(line):
                return sign.cause, line
    return None


def of_start(said: str | None) -> EndCause | None:
    """Return why a program could not be started, from what our agent said about it."""
    return next((sign.cause for sign in _OWN if sign.pattern.search(said or "")), None)
