"""Hosts that are logged in to and say what they must not."""
