"""The gjob command, one file a verb or what verbs share, and the far end that carries verbs out on another host."""
