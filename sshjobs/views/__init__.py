"""Views: ways to show what happens in a run. Each takes its events (docs/cli.md, "Events") one at a time."""
