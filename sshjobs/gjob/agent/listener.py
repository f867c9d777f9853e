"""What the crew calls to tell what becomes of attempts; the agent implements it."""

from .attempts import Attempt


class Listener:
    """Base class of the agent: every method must be overridden. (Python 3.6 has no Protocol.)"""

    def on_start(self, attempt: Attempt) -> None:
        """The attempt was given to a runner."""
        raise NotImplementedError

    def on_end(self, attempt: Attempt) -> None:
        """The attempt has ended; its ``end`` and ``sizes`` are set."""
        raise NotImplementedError

    def on_word(self, attempt: Attempt, line: bytes) -> None:
        """A frame about the attempt is to be sent, ``started`` or ``stuck``."""
        raise NotImplementedError

    def on_gpus(self, told: "dict[str, object]") -> None:
        """The GPUs of this host were looked at; ``told`` is the frame's content."""
        raise NotImplementedError

    def on_trouble(self, msg: str) -> None:
        """A person should know ``msg``."""
        raise NotImplementedError
