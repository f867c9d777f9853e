"""Where an agent begins: to the manager of a new run it says what its host is before it loads what it is made of.

Where that has to be compiled it takes 50 ms, and the manager's first launch takes a round trip to come: neither is to
wait for the other.
"""

import os
import select

from .. import files, system
from . import facts, succession
from .link import Link, LinkLost

MYPY = False
if MYPY:
    from typing import Any

    from ..door import Door
    from ..places import Places

#: Seconds that the front is waited for, which brings the first link just now.
_FRONT_COMES = 0.05
#: Says beside the journals that an agent begins here.
_WORD = "/begins"


class Beginning:
    """What an agent knows when the rest of it is loaded.

    :ivar killed: the agent before it did not sign off
    :ivar resumed: something of the run was here before
    :ivar about: the facts of this host, where they are known already
    :ivar first: the hello of a link that has been welcomed, and the link
    """

    def __init__(self, door: "Door", hello: "dict[str, Any]", places: "Places"):
        # Before anything is read that it may still write.
        self.killed = succession.take_over(places)
        self.resumed = places.is_used()
        self.about: "dict[str, Any]" = {}
        self.first: "tuple[dict[str, Any], Link] | None" = None
        # Where something was here before, that is read first: it may be newer than the manager, or not be readable.
        if not self.resumed and "batch" not in hello:
            self.about = facts.gather()
            if _leaves_word(places):
                self._welcome(door, places)

    def _welcome(self, door: "Door", places: "Places") -> None:
        coming = system.poll()
        coming.register(door.fileno(), select.POLLIN)
        try:
            came = door.accept() if coming.poll(1000 * _FRONT_COMES) else None
        except OSError:  # it stays in the queue
            return
        if came is None:
            return
        hello, reading, writing, front = came
        link = Link(reading, writing, front)
        facts.welcome(link, door, places, self.about, resumed=False)
        try:
            link.flush()
        except (LinkLost, OSError):  # the agent meets that when it reads
            pass
        self.first = hello, link


def _leaves_word(places: "Places") -> bool:
    """Leave a file where journals will be; False where that cannot be.

    Should this agent die before it has a journal, the next one finds by it that the run was here, and that nothing of
    what was launched meanwhile has begun.
    """
    flags = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_WRONLY
    try:
        files.close_quietly(system.open(places.journals + _WORD, flags, 0o600))
    except OSError:
        return False
    return True


def main(door: "Door", hello: "dict[str, Any]", places: "Places", front: int) -> int:
    """Be the agent, in a process forked from the first front; return its exit status."""
    beginning = Beginning(door, hello, places)
    from .agent import Agent  # what takes so long

    agent = Agent(door, hello, places, front, beginning)
    if not beginning.resumed:
        files.unlink_quietly(places.journals + _WORD)
    system.collect_garbage(True)
    agent.run()
    # It keeps all that it holds: its link is to end with the process and not before.
    system.exit(0)
