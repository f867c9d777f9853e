"""Audit: whether store, files and hosts agree about a run, and what runs have left anywhere.

``checks`` compares, ``garbage`` removes, ``receipts`` asks hosts what is left when something was cancelled.
"""
