"""A world of hosts as data: for tests of what must hold whatever dies, and for looks into the future of a run."""

from __future__ import annotations

from sshjobs.simulation.world import Program, World

__all__ = ["Program", "World"]
