"""Waiting for a condition, with a limit, instead of sleeping for a while and hoping."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

FIRST_PAUSE = 0.002
LONGEST_PAUSE = 0.1


def wait_until(
    predicate: Callable[[], T],
    timeout: float = 10.0,
    message: str | Callable[[], str] = "the condition",
) -> T:
    """Call ``predicate`` until it answers something true, and return that answer.

    The pause between two calls grows from 2 ms to 100 ms, so quick things are seen at once and slow
    ones cost no CPU. An exception of ``predicate`` is passed on at once.

    :param timeout: seconds after which it is given up; ``predicate`` is called at least once.
    :param message: what is waited for, put into the error; a callable is asked only when it fails,
        so that it can tell how things stand then.
    :raises AssertionError: when ``timeout`` seconds passed without a true answer.
    """
    deadline = time.monotonic() + timeout
    pause = FIRST_PAUSE
    while True:
        answer = predicate()
        if answer:
            return answer
        left = deadline - time.monotonic()
        if left <= 0:
            told = message() if callable(message) else message
            raise AssertionError(f"waited {timeout:g} s in vain for {told}; last answer: {answer!r}")
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, LONGEST_PAUSE)
