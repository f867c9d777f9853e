"""The allowance of a host: how many frames it may send that change nothing here, so that no host can flood us."""

from __future__ import annotations

from sshjobs.errors import ProtocolError

#: Frames that change nothing: so many at once, and so many more a second. After a crash or a long silence an agent
#: names all that it still has, which this manager may not know; a flood is 30 times as fast.
AT_ONCE, EACH_SECOND = 20_000, 1000.0
#: Warnings of one host in the whole run.
MOST_WARNINGS = 40
#: Answers that wait to be read by the host.
MOST_UNREAD = 10_000


class Allowance:
    """The allowance of one host, over all its connections."""

    def __init__(self) -> None:
        self._left = float(AT_ONCE)
        self._since: float | None = None
        self._warnings = 0
        self._asked = 0
        #: Answers that wait to be sent over the connection that there is.
        self.unread = 0

    def begin(self, attempts: int) -> None:
        """Note that a new connection begins, over which the host is asked about so many attempts."""
        self.unread, self._asked = 0, attempts
        # For each attempt: its state, its start, and that it is stuck.
        self._left += 3 * attempts

    def spend(self, now: float, frames: int = 1) -> None:
        """Count a frame of the host that changes nothing.

        :param frames: so many, or one that costs as much
        :param now: seconds of any clock that never goes back
        :raises ProtocolError: it has said too much of that
        """
        if self._since is None:
            self._since = now
        self._left -= frames
        if self._left >= 0.0:
            return
        self._left = min(AT_ONCE, (now - self._since) * EACH_SECOND) - frames
        self._since = now
        if self._left < 0.0:
            self._left = 0.0
            raise ProtocolError("it says too much that nobody asked for",
                                why=f"more than {AT_ONCE:,} frames, and {EACH_SECOND:,.0f} a second, change nothing")

    def warn(self, text: str) -> str | None:
        """Return what of a host's warning a person is told; ``None`` once there were too many."""
        self._warnings += 1
        if self._warnings > MOST_WARNINGS:
            return None
        return text if self._warnings < MOST_WARNINGS else f"{text} (it says more, which is not told)"

    def answer(self) -> None:
        """Count an answer to the host that no request of this side has caused.

        :raises ProtocolError: it does not read its answers
        """
        self.unread += 1
        if self.unread > MOST_UNREAD + self._asked:
            raise ProtocolError("it does not read what it is answered", why=f"{self.unread:,} answers wait for it")
