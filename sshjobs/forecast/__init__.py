"""When a run will end: how long jobs take, with all that is not known of it, and what follows on hosts."""
