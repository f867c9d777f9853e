"""Who hears what becomes of attempts."""

from .attempts import Attempt


class Listener:
    """Hears what becomes of attempts."""

    def on_start(self, attempt: Attempt) -> None:
        """It was given to a runner."""
        raise NotImplementedError

    def on_end(self, attempt: Attempt) -> None:
        """It has ended; ``end`` and ``sizes`` are set."""
        raise NotImplementedError

    def on_word(self, attempt: Attempt, line: bytes) -> None:
        """A frame about it, ``started`` or ``stuck``."""
        raise NotImplementedError

    def on_gpus(self, told: "dict[str, object]") -> None:
        """How the GPUs of this host are."""
        raise NotImplementedError

    def on_trouble(self, msg: str) -> None:
        """Something that a person should know."""
        raise NotImplementedError
