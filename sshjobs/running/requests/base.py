"""The base of all requests."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from sshjobs.model.spec import Job
from sshjobs.store.change import Change

if TYPE_CHECKING:
    from sshjobs.running.manager import Manager
    from sshjobs.running.requests.target import Target

#: A request or an answer, as it passes over the control socket.
Data = dict[str, Any]


class Request(ABC):
    """One request.

    :param data: its keys; ``do`` is the verb
    :raises KeyError: a key is missing
    :raises TypeError: a value has the wrong type
    :raises ValueError: a value is wrong
    :cvar urgent: it takes effect even while this machine cannot write to the store, and is written later
    :ivar chosen: the existing jobs that it changes; set by :meth:`check`
    """

    verb: ClassVar[str]
    urgent: ClassVar[bool] = False
    chosen: Sequence[Job] = ()

    @abstractmethod
    def __init__(self, data: Data): ...

    @abstractmethod
    def check(self, target: Target) -> tuple[Change, Data]:
        """Return what to write to the store, and the answer. Changes nothing.

        :raises UsageError: it cannot be carried out
        """

    def on_disk(self, target: Target) -> None:
        """Make changes on the disk that must come before the commit. If the commit fails, this may be called again.

        :raises OSError: the disk refused
        """
        return None

    @abstractmethod
    def take_effect(self, manager: Manager) -> None:
        """Apply the request in a manager, after the commit. Without a manager, the next one finds it in the store."""


def names_of(data: Data, key: str) -> list[str] | None:
    """Return a list of names, each once; ``None`` stands for all.

    :raises TypeError: it is no list of texts
    """
    given = data.get(key)
    if given is None:
        return None
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        raise TypeError(f"{key} must be a list of names")
    return list(dict.fromkeys(given))


def some_names_of(data: Data, key: str) -> list[str]:
    """Return a list of names, each once.

    :raises TypeError: it is no list of texts
    """
    names = names_of(data, key)
    if names is None:
        raise TypeError(f"{key} must be a list of names")
    return names


def tell_hosts(manager: Manager, change: str, names: Sequence[str], slots: int | None = None) -> None:
    """Send the listener an event about changed hosts."""
    manager.handle_act({"event": "hosts", "change": change, "hosts": list(names), "slots": slots})
