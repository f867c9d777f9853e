"""The protocol of a link, without any input or output: its frames, and which may follow which."""
