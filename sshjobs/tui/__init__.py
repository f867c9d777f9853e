"""A run on the whole terminal: ``sshjobs top``."""
