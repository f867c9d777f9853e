"""Runs of all users on one host agree on who holds what there: no daemon, no root, files and their locks."""
