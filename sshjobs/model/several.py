"""Several mistakes in one value, told together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

#: Where in a value something stands: keys and numbers of items, from the outside. A last one of :data:`KEY` means the
#: key itself.
Place = tuple[str | int, ...]
KEY = "[key]"


class Several(ValueError):
    """A value has mistakes. As text it is the first of them.

    :ivar found: the place of each in the value, and what a :class:`ValueError` would say of it
    """

    def __init__(self, found: list[tuple[Place, str]]):
        super().__init__(found[0][1])
        self.found = found


class Gathering:
    """Gathers the mistakes in one value, so that all are told and not only the first::

        told = Gathering()
        for key, value in said.items():
            with told.at(key):
                found[key] = checked(value)
        told.end()
    """

    def __init__(self) -> None:
        self._found: list[tuple[Place, str]] = []

    @contextmanager
    def at(self, *place: object) -> Iterator[None]:
        """Note a :class:`ValueError` of what is done meanwhile, and go on behind it.

        :param place: where in the value that is
        """
        steps = tuple(step for step in place if isinstance(step, (str, int)))
        try:
            yield
        except Several as several:
            self._found += [((*steps, *inside), text) for inside, text in several.found]
        except ValueError as error:
            self._found.append((steps, str(error)))

    def end(self) -> None:
        """Raise what was noted.

        :raises Several: there were mistakes
        """
        if self._found:
            raise Several(self._found)
