"""The agent and its front: one process per run and host that starts jobs and keeps their output."""
