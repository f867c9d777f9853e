"""Who may take what of a shared host: equal shares, nobody passed over for ever, never more than there is."""

from __future__ import annotations

import random

import pytest

from sshjobs.gjob.sharing.rules import AGED, YIELDS, Holding, Wish, may_take

ANNA, BEN = 1001, 1002


def holds(person: int, slots: int = 1, run: str | None = None, more: dict[str, int] | None = None) -> Holding:
    return Holding(person, run or f"{person}", {"slots": slots, **(more or {})}, host="h")


def wants(person: int, slots: int = 1, since: float = 0.0, run: str | None = None, figures: dict[str, int] | None = None,
          more: dict[str, int] | None = None, share: float = 1.0) -> Wish:
    name = run or f"{person}"
    return Wish(person, name, {"slots": slots, **(more or {})}, {"slots": 4} if figures is None else figures, since,
                share, key=name, host="h")


def test_who_has_nothing_comes_before_who_has_something() -> None:
    anna, ben = wants(ANNA, since=1.0), wants(BEN, since=5.0)
    held = [holds(ANNA)] * 3
    assert not may_take(anna, held, [ben], 10.0)
    assert may_take(ben, held, [anna], 10.0)


def test_what_a_person_has_too_much_of_goes_to_others_one_by_one() -> None:
    assert not may_take(wants(ANNA, since=9.0), [holds(ANNA)] * 2 + [holds(BEN)], [wants(BEN)], 10.0)
    assert may_take(wants(ANNA, since=9.0), [holds(ANNA)] + [holds(BEN)] * 2, [wants(BEN)], 10.0), "ben has his half"


def test_a_share_can_only_be_less_than_an_equal_one() -> None:
    held = [holds(ANNA)] + [holds(BEN)] * 2
    assert may_take(wants(BEN), held, [wants(ANNA, share=0.25)], 10.0)
    assert not may_take(wants(BEN), held, [wants(ANNA)], 10.0)


def test_among_runs_of_one_person_who_came_first_is_first() -> None:
    early, late = wants(ANNA, since=1.0, run="a"), wants(ANNA, since=2.0, run="b")
    held = [holds(ANNA, run="b")] * 3
    assert may_take(early, held, [late], 10.0) and not may_take(late, held, [early], 10.0)


def test_a_large_job_lets_small_ones_go_first_for_a_while_and_no_longer() -> None:
    large, small = wants(ANNA, slots=3, since=1.0), wants(BEN, since=2.0)
    held = [holds(3, slots=2)]
    assert may_take(small, held, [large], 0.9 + YIELDS)
    assert not may_take(small, held, [large], 1.0 + YIELDS)
    assert may_take(small, held, [], 1.0 + YIELDS)


def test_a_large_job_of_the_own_run_is_passed_for_as_long_as_one_of_others() -> None:
    large, small = wants(ANNA, slots=3, since=1.0, run="a"), wants(ANNA, since=2.0, run="a")
    small.key = ""
    held = [holds(BEN, slots=2)]
    assert may_take(small, held, [large], 0.9 + YIELDS)
    assert not may_take(small, held, [large], 1.0 + YIELDS)
    large.since = 2.0 + YIELDS
    assert may_take(small, held, [large], 1.0 + YIELDS), "it came later"


def test_a_large_job_for_which_there_is_enough_is_not_passed_at_all() -> None:
    large, small = wants(ANNA, slots=3, since=1.0), wants(BEN, slots=2, since=2.0)
    assert not may_take(small, [holds(3)], [large], 1.5)
    assert may_take(large, [holds(3)], [small], 1.5)


def test_who_lacks_something_else_does_not_keep_slots_from_others_but_for_a_while_at_the_end() -> None:
    figures = {"slots": 4, "count.license": 1}
    large = wants(ANNA, slots=2, since=1.0, figures=figures, more={"count.license": 1})
    held = [holds(3, slots=2, more={"count.license": 1})]
    small = wants(BEN, slots=1, since=2.0, figures=figures)
    assert may_take(small, held, [large], 10.0)
    assert not may_take(small, held, [large], AGED + 2.0)


def test_who_was_given_nothing_for_very_long_comes_before_all() -> None:
    # Anna holds a slot all the time, and wants all; each time that ben's job ends he has nothing and would be first.
    anna, ben = wants(ANNA, slots=3, since=0.0), wants(BEN, since=AGED)
    held = [holds(ANNA)]
    assert may_take(ben, held, [anna], AGED - 1.0)
    assert not may_take(ben, held, [anna], AGED + 1.0)
    anna.given = 10.0
    assert may_take(ben, held, [anna], AGED + 1.0)


def test_each_keeps_to_its_own_figure_and_does_not_keep_others_to_it() -> None:
    modest, greedy = wants(ANNA, figures={"slots": 2}), wants(BEN, figures={"slots": 8})
    held = [holds(BEN)] * 4
    assert not may_take(modest, held, [greedy], 10.0)
    assert may_take(greedy, held, [modest], 10.0)


def test_what_one_needs_alone_it_may_have_although_it_is_more_than_all() -> None:
    assert may_take(wants(ANNA, slots=9), [], [], 10.0)
    assert not may_take(wants(ANNA, slots=9), [holds(BEN)], [], 10.0)


def test_a_thing_is_held_by_one() -> None:
    unit = {"unit.GPU-1": 1}
    assert not may_take(wants(ANNA, more=unit), [holds(BEN, more=unit)], [], 10.0)
    assert may_take(wants(ANNA, more={"unit.GPU-2": 1}), [holds(BEN, more=unit)], [], 10.0)


def test_other_names_of_a_host_are_other_hosts_to_one_run() -> None:
    held = [Holding(ANNA, "a", {"slots": 4}, host="other")]
    assert may_take(wants(ANNA, run="a"), held, [], 10.0)
    assert not may_take(wants(ANNA, run="b"), held, [], 10.0)


@pytest.mark.parametrize("_", range(4))
def test_random_histories_never_give_too_much_and_let_nobody_wait_for_ever(_: int) -> None:
    # Drawn here: a parameter has to be the same in all processes that run tests.
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    rng = random.Random(seed)
    figures = {"slots": rng.randint(1, 8), "memory": rng.randint(4, 16), "count.a": rng.randint(1, 3)}
    longest = 20.0
    now, held, wishes = 0.0, list[tuple[float, Holding]](), list[Wish]()
    number = 0
    for _turn in range(2_500):
        now += rng.expovariate(0.7)
        held = [one for one in held if one[0] > now]
        if len(wishes) < 7:
            number += 1
            amounts = {"slots": rng.choice([1, 1, 1, figures["slots"]])}
            if rng.random() < 0.4:
                amounts["memory"] = rng.randint(1, figures["memory"])
            if rng.random() < 0.3:
                amounts["count.a"] = rng.randint(1, figures["count.a"])
            wishes.append(Wish(rng.randint(1, 3), f"{rng.randint(1, 6)}", amounts, figures, now, key=f"{number}"))
        rng.shuffle(wishes)
        given = True
        while given:
            given = False
            for wish in list(wishes):
                if may_take(wish, [one for _, one in held], wishes, now):
                    given = True
                    wishes.remove(wish)
                    for other in wishes:
                        if other.person == wish.person:
                            other.given = max(other.given, now)
                    held.append((now + rng.uniform(0.1, longest), Holding(wish.person, wish.run, wish.amounts)))
        for what, figure in figures.items():
            assert sum(one.amounts.get(what, 0) for _, one in held) <= figure
        assert held or not wishes, "all wait and nobody holds anything"
        # Of each person the first, and of all persons each, is given something within a while and a few longest jobs.
        for person in {wish.person for wish in wishes}:
            waited = min(now - max(wish.since, wish.given) for wish in wishes if wish.person == person)
            assert waited <= AGED + 8 * longest, (person, waited)
