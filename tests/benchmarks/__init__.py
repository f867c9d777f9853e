"""What sshjobs costs beyond the work itself, measured on real sshd hosts with its peers in the same run.

One module a figure, each a command of its own: ``python -m tests.benchmarks.short_jobs``. ``make bench`` runs them all
and writes docs/performance.md. Nothing here is a test: a busy machine gives other figures, never a failure.
"""
