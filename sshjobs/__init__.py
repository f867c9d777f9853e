"""sshjobs: run a pile of jobs on the machines that you can ssh to."""

__version__ = "0.1.0"
