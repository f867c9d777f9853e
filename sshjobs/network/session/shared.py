"""What the sessions with all hosts of a network have in common."""

from __future__ import annotations

import random
from collections.abc import Collection
from typing import NamedTuple

from sshjobs.network.clock import SYSTEM, Clock
from sshjobs.network.contract import RunIdentity
from sshjobs.network.handshakes import Handshakes
from sshjobs.network.session.book import Emit
from sshjobs.network.session.output_files import OutputFiles
from sshjobs.network.staging.inputs import Staging
from sshjobs.network.supervise import Supervisor
from sshjobs.network.trouble import LocalTrouble


class Shared(NamedTuple):
    """The common parts of all sessions. Belongs to the network's event loop.

    :ivar outputs: writes output of jobs
    :ivar emit: takes each event for the manager
    :ivar handshakes: limits how many connections are made at a time
    :ivar chance: the source of random pauses
    :ivar supervisor: watches the sessions' background tasks
    :ivar trouble: waits for trouble of this machine to pass
    :ivar given: the names of entries whose files are inputs of other jobs; it grows
    :ivar hurry: every host will get jobs, so that agents begin before a first frame comes
    :ivar clock: of the manager
    """

    run: RunIdentity
    outputs: OutputFiles
    staging: Staging
    emit: Emit
    handshakes: Handshakes
    chance: random.Random
    supervisor: Supervisor
    trouble: LocalTrouble
    given: Collection[str] = ()
    hurry: bool = False
    clock: Clock = SYSTEM
