"""Queue: the state of each object of a fixed or growing list. Every operation is O(1)."""

from __future__ import annotations

import random
from array import array
from collections.abc import Hashable, Iterable, Sequence
from typing import Generic, TypeVar

from sshjobs.errors import QueueError

T = TypeVar("T", bound=Hashable)
_NONE = -1


class Queue(Generic[T]):
    """Maintains the state of each object of a list.

    Within a state the objects stand in the order in which they entered it. Not thread-safe: it belongs to the
    thread of its manager. An empty queue is in every state (:meth:`AllInState`), as in the seed.

    :param states: the states in use; every object begins in the first
    :param objects: what to keep track of; hashable, each at most once
    :raises QueueError: no states, a state named twice, an object given twice or not hashable
    """

    def __init__(self, states: Sequence[str], objects: Iterable[T] = ()):
        if isinstance(states, str) or not isinstance(states, Sequence) or not isinstance(objects, Iterable):
            raise QueueError("a queue takes a list of states and a list of objects",
                             why=f"got {type(states).__name__} and {type(objects).__name__}")
        named_well = all(isinstance(state, str) for state in states) and len(set(states)) == len(states)
        if not states or not named_well:
            raise QueueError("a queue needs at least one state, each named once", why=f"got {list(states)!r:.100}")
        self.states = list(states)
        self.objects: list[T] = []
        self._number = {state: n for n, state in enumerate(states)}
        self._index: dict[T, int] = {}
        # One entry an object: its state, its neighbours in the state's line, its place in the state's list.
        # Flat arrays, because a run may hold a million jobs.
        self._state, self._place = array("b"), array("q")
        self._before, self._after = array("q"), array("q")
        self._first, self._last = [_NONE] * len(states), [_NONE] * len(states)
        self._members = [array("q") for _ in states]
        self.rng = random.Random()
        for obj in objects:
            self.Add(obj)

    def __len__(self) -> int:
        return len(self.objects)

    def __contains__(self, obj: object) -> bool:
        return obj in self._index

    def Add(self, obj: T) -> None:
        """Add an object in the first state.

        :raises QueueError: it is there already, or is not hashable
        """
        try:
            known = obj in self._index
        except TypeError:
            raise QueueError("an object of a queue must be hashable", why=f"got {type(obj).__name__}") from None
        if known:
            raise QueueError(f"{obj!r:.100} stands in the queue already")
        index = len(self.objects)
        self.objects.append(obj)
        self._index[obj] = index
        for column in (self._state, self._place, self._before, self._after):
            column.append(_NONE)
        self._enter(index, 0)

    def SetState(self, obj: T, state: str) -> None:
        """Set the state of an object; it goes to the end of that state's line, also when it was in it before.

        :raises QueueError: the state or the object is not known
        """
        try:
            number, index = self._number[state], self._index[obj]
        except (KeyError, TypeError):
            number, index = self._state_number(state), self._object_index(obj)
        self._leave(index)
        self._enter(index, number)

    def StateOf(self, obj: T) -> str:
        """Return the state of an object.

        :raises QueueError: the object is not known
        """
        return self.states[self._state[self._object_index(obj)]]

    def AllInState(self, state: str) -> bool:
        """Tell whether all objects are in the given state."""
        return len(self._members[self._state_number(state)]) == len(self.objects)

    def AnyInState(self, state: str) -> bool:
        """Tell whether any object is in the given state."""
        return bool(self._members[self._state_number(state)])

    def CountInState(self, state: str) -> int:
        """Return how many objects are in the given state."""
        return len(self._members[self._state_number(state)])

    def InState(self, state: str) -> list[T]:
        """Return the objects in the given state, longest there first (a copy: O(its length))."""
        result, index = [], self._first[self._state_number(state)]
        while index != _NONE:
            result.append(self.objects[index])
            index = self._after[index]
        return result

    def ChooseNext(self, state: str) -> T:
        """Return the object that has been in the given state for longest.

        :raises QueueError: none is in it
        """
        index = self._first[self._state_number(state)]
        if index == _NONE:
            raise QueueError(f"nothing in the queue is {state}")
        return self.objects[index]

    def ChooseRandom(self, state: str) -> T:
        """Return any object in the given state, each equally likely.

        :raises QueueError: none is in it
        """
        members = self._members[self._state_number(state)]
        if not members:
            raise QueueError(f"nothing in the queue is {state}")
        return self.objects[members[self.rng.randrange(len(members))]]

    def _state_number(self, state: str) -> int:
        try:
            return self._number[state]
        except (KeyError, TypeError):
            raise QueueError(f"{state!r:.60} is not a state of this queue",
                             why=f"it knows {', '.join(self.states)}") from None

    def _object_index(self, obj: T) -> int:
        try:
            return self._index[obj]
        except (KeyError, TypeError):
            raise QueueError(f"{obj!r:.100} is not in this queue") from None

    def _enter(self, index: int, number: int) -> None:
        self._state[index] = number
        members = self._members[number]
        self._place[index] = len(members)
        members.append(index)
        last = self._last[number]
        self._before[index], self._after[index] = last, _NONE
        if last == _NONE:
            self._first[number] = index
        else:
            self._after[last] = index
        self._last[number] = index

    def _leave(self, index: int) -> None:
        number = self._state[index]
        members = self._members[number]
        mover = members[-1]
        members[self._place[index]] = mover
        self._place[mover] = self._place[index]
        members.pop()
        before, after = self._before[index], self._after[index]
        if before == _NONE:
            self._first[number] = after
        else:
            self._after[before] = after
        if after == _NONE:
            self._last[number] = before
        else:
            self._before[after] = before
