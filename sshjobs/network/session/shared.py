"""What the sessions with all hosts of a network have in common."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass

from sshjobs.network.clock import SYSTEM, Clock
from sshjobs.network.contract import RunIdentity
from sshjobs.network.handshakes import Handshakes
from sshjobs.network.session.book import Emit
from sshjobs.network.session.output_files import OutputFiles
from sshjobs.network.staging.inputs import Staging
from sshjobs.network.supervise import Supervisor
from sshjobs.network.trouble import LocalTrouble


@dataclass(frozen=True)
class Shared:
    """Belongs to the network's event loop.

    :ivar outputs: where output lands
    :ivar emit: takes each event for the manager
    :ivar handshakes: admits a few connections at a time
    :ivar chance: draws how long pauses are
    :ivar supervisor: watches what works beside the reading
    :ivar trouble: waits for this machine where it cannot do its part
    :ivar given: the names of entries whose files other jobs are given; it grows
    :ivar hurry: every host will have work, so that agents begin before they are spoken to
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
