"""Mutation: small faults are put into shipped code, one at a time, to see whether a test notices.

``python -m tests.mutation --mutants 500 --seed 1`` goes on where it was stopped; ``--report`` tells how it stands.

First every suite of :data:`tests.mutation.covering.SUITES` is carried out once, and it is noted which tests carry out which
lines. A fault is then tried by the quickest tests that reach its line. One that a test notices counts as killed where that
test passes without the fault; one that keeps the tests from ending counts only where they take less than a quarter of the
limit without it.
"""
