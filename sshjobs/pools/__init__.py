"""Pools: functions of Python mapped over the workers of an engine cluster."""
