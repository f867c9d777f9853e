"""What people write for sshjobs, read with suspicion: jobfiles, hosts files, durations.

Import from the modules below; this package imports nothing by itself, so that a command which needs
only hosts does not pay for YAML.
"""
