"""Mutation: small faults are put into shipped code, one at a time, to see whether a test notices.

``python -m tests.mutation --mutants 500 --seed 1`` goes on where it was stopped; ``--report`` tells how it stands.
"""
