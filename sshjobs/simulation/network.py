"""SimulatedNetwork: the network, on hosts that are data, in a world with a clock of its own.

The manager, the schedule, the store, and all that converses with hosts are the shipped ones. Waiting costs no time.
"""

from __future__ import annotations

from collections.abc import Iterable

from sshjobs.model.host import Host
from sshjobs.network.contract import News
from sshjobs.network.network import Network
from sshjobs.network.session.records import Records
from sshjobs.simulation.files import VirtualFiles
from sshjobs.simulation.loop import WorldRunner
from sshjobs.simulation.transport import SimulatedTransport
from sshjobs.simulation.world import World


class SimulatedNetwork(Network):
    """One manager's network; a world outlives it.

    :param world: where the hosts are, by name; a host that has no machine there is not reachable
    :param files: where output lands; outlives the network as well
    :ivar linger: what happens within so many seconds is handled together: fewer turns of the manager, for questions
        about time alone
    """

    linger = 0.0

    def __init__(self, results_dir: str, hosts: Iterable[Host], world: World, files: VirtualFiles):
        super().__init__(results_dir, list(hosts))
        self.world = self.clock = world
        self._files, self._records = files, Records(files)
        self._transport = SimulatedTransport(world)
        self._runner = WorldRunner(world)

    def wait(self, timeout: float, linger: float = 0.0) -> News:
        # Never no time at all: code that looks again and again would stand still.
        return super().wait(max(timeout, 1e-6), max(linger, self.linger))

    def vanish(self) -> None:
        """Close everything, as the death of the manager's process does."""
        self._runner.loop.die()
        self._transport.vanish()

    def bury(self) -> None:
        """Take apart what stood still when it died."""
        self._runner.loop.bury()

    def _make_room(self) -> None:
        """Its connections are no files."""

    def _new_runner(self) -> WorldRunner:
        return self._runner

    def _transport_of(self, host: Host) -> SimulatedTransport:
        return self._transport
