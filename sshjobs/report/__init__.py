"""A run as one file for a browser: :func:`write_report`."""
