"""Input files of jobs on this machine: found, named by their content, cut into pieces."""
