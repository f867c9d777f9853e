"""Who sees what really happens on hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.sim.host.machine import Machine
    from tests.sim.host.process import Process


class Watcher:
    """Sees what really happens on the machines; the base sees nothing. A test's watcher raises on what must not be."""

    def on_start(self, machine: Machine, process: Process) -> None:
        """The main process of an attempt has started."""

    def on_write(self, machine: Machine, uid: str, stream: int, data: bytes) -> None:
        """An attempt has written output into its file."""

    def on_exit(self, machine: Machine, process: Process) -> None:
        """The main process of an attempt has ended."""

    def on_kill(self, machine: Machine, process: Process, by: Process) -> None:
        """A process is about to be killed by one of ours."""

    def on_death(self, machine: Machine, process: Process) -> None:
        """A process of ours has ended."""

    def on_failure(self, machine: Machine, process: Process, error: BaseException) -> None:
        """A process of ours has met an error that nothing of ours expects."""

    def on_removal(self, machine: Machine, process: Process, name: str) -> None:
        """A process of ours has removed a directory."""

    def on_claim(self, machine: Machine, process: Process, uid: str) -> None:
        """A process of ours has made the directory of an attempt."""

    def on_note(self, machine: Machine, process: Process, data: bytes) -> None:
        """A process of ours has written into a journal."""

    def on_reboot(self, machine: Machine, *, power: bool) -> None:
        """The host is about to go down, perhaps without what was written lately."""
