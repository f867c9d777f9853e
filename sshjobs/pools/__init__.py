"""Functions on many hosts: over plain ssh (:class:`sshjobs.Executor`), and pools over engines."""
