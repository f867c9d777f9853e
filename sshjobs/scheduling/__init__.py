"""Pure decisions: which job runs where, whether it is tried again after an end, and which hosts fail their jobs."""
