"""The protocol of a link, without I/O: its frames, and in which order they may come."""
