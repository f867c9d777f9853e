"""The far side: what runs on a host.

Standard library only, Python 3.6 and newer, Linux. Nothing here imports anything of ours from outside this package:
its sources travel over the connection and live in memory. ``docs/protocol.md`` is normative.
"""
