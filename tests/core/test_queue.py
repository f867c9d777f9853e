"""The queue of states: the seed's six operations, with errors of the domain."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from sshjobs import STATE_BUSY, STATE_DONE, STATE_ERROR, STATE_FREE, STATE_UNKNOWN, STATES, Queue, QueueError


def test_the_five_states_are_the_seeds_in_its_order():
    assert STATES == ["free", "busy", "done", "unknown", "error"]
    assert [STATE_FREE, STATE_BUSY, STATE_DONE, STATE_UNKNOWN, STATE_ERROR] == STATES


def test_everything_begins_in_the_first_state_in_its_order():
    queue = Queue(STATES, ["a", "b", "c"])
    assert queue.InState(STATE_FREE) == ["a", "b", "c"]
    assert queue.AllInState(STATE_FREE)
    assert not queue.AnyInState(STATE_BUSY)


def test_next_is_who_entered_the_state_first():
    queue = Queue(STATES, ["a", "b", "c"])
    for name in "cab":
        queue.SetState(name, STATE_BUSY)
    queue.SetState("c", STATE_BUSY)
    assert queue.ChooseNext(STATE_BUSY) == "a"
    assert queue.InState(STATE_BUSY) == ["a", "b", "c"]


def test_an_empty_queue_is_in_every_state():
    queue: Queue[str] = Queue(STATES)
    assert all(queue.AllInState(state) for state in STATES)


def test_what_in_state_returns_is_a_copy():
    queue = Queue(STATES, ["a"])
    queue.InState(STATE_FREE).clear()
    assert queue.InState(STATE_FREE) == ["a"]


@pytest.mark.parametrize("act", [
    lambda queue: queue.SetState("nobody", STATE_FREE),
    lambda queue: queue.SetState("a", "lost"),
    lambda queue: queue.SetState(["a"], STATE_FREE),
    lambda queue: queue.AllInState("lost"),
    lambda queue: queue.ChooseNext(STATE_DONE),
    lambda queue: queue.ChooseRandom(STATE_DONE),
    lambda queue: queue.Add("a"),
    lambda queue: queue.Add(["a"]),
    lambda queue: Queue([], ["a"]),
    lambda queue: Queue(["free", "free"], ["a"]),
    lambda queue: Queue(STATES, ["a", "a"]),
])
def test_misuse_is_a_domain_error_and_changes_nothing(act):
    queue = Queue(STATES, ["a"])
    with pytest.raises(QueueError):
        act(queue)
    assert queue.InState(STATE_FREE) == ["a"]


def test_random_choice_reaches_everything_in_the_state_and_nothing_else():
    queue = Queue(STATES, range(5))
    queue.rng = random.Random(1)
    queue.SetState(3, STATE_BUSY)
    assert {queue.ChooseRandom(STATE_FREE) for _ in range(200)} == {0, 1, 2, 4}


class _Model:
    """The queue as the seed wrote it: a list for each state."""

    def __init__(self, objects):
        self.lists: dict[str, list[int]] = {state: [] for state in STATES}
        self.lists[STATE_FREE] = list(objects)

    def set_state(self, obj, state):
        for members in self.lists.values():
            if obj in members:
                members.remove(obj)
        self.lists[state].append(obj)


@seed(20250101)
@settings(max_examples=200, deadline=None)
@given(moves=st.lists(st.tuples(st.integers(0, 9), st.sampled_from(STATES)), max_size=80))
def test_it_behaves_as_the_plain_lists_of_the_seed(moves):
    queue, model = Queue(STATES, range(10)), _Model(range(10))
    for obj, state in moves:
        queue.SetState(obj, state)
        model.set_state(obj, state)
        for each in STATES:
            assert queue.InState(each) == model.lists[each]
            assert queue.CountInState(each) == len(model.lists[each])
            assert queue.AnyInState(each) == bool(model.lists[each])
            if model.lists[each]:
                assert queue.ChooseNext(each) == model.lists[each][0]
                assert queue.ChooseRandom(each) in model.lists[each]
