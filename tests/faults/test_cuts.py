"""How handshakes are counted: nobody may be able to say that there were more."""

from __future__ import annotations

import pytest

from tests.faults.cuts import most_within


@pytest.mark.parametrize(("seen", "most"), [
    ([], 0),
    ([(5, 6)], 1),
    ([(n * 10, n * 10) for n in range(20)], 6),
    # The first may have come as late as at 1, the last as early as at 60.5.
    ([(0, 1), (10, 11), (60.5, 61.5)], 3),
    ([(0, 1), (10, 11), (61, 62)], 2),
    ([(0, 1)] * 4, 4),
])
def test_what_can_have_come_within_a_minute_counts(seen, most):
    assert most_within(60, seen) == most
