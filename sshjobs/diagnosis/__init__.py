"""Why attempts ended as they did, what failures have in common, and what jobs wait for."""
