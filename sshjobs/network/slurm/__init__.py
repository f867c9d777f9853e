"""Allocations of Slurm whose nodes are hosts. Loaded only where a host is such a node."""
