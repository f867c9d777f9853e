"""A scene for each test, on hosts that it may damage; the seed is printed where it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.cuts import TALKATIVE
from tests.faults.scene import Scene
from tests.lab import BaseLab, Lab


@pytest.fixture(scope="package")
def rough_lab() -> Iterator[BaseLab]:
    """Four hosts whose power and network may be cut; what does it mends it."""
    with Lab(4, options=TALKATIVE) as made:
        yield made


@pytest.fixture
def make_scene(rough_lab: BaseLab, tmp_path: Path, clean_home: Path) -> Iterator[Callable[..., Scene]]:
    """Make the scene of a test: ``make_scene(seed=7)``; ``lab`` for hosts of its own."""
    made: list[Scene] = []

    def make(seed: int, *, lab: BaseLab | None = None, slots: int = 4) -> Scene:
        print(f"seed {seed}")
        # Less than a test may take, so that one that does not come to its end can say how it stands.
        made.append(Scene(lab or rough_lab, tmp_path, seed, slots=slots, patience=90.0))
        return made[-1]

    yield make
    for scene in made:
        if scene.manager is not None:
            scene.manager.kill()
