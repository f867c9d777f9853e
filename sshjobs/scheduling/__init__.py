"""Pure decisions: which job runs where, what an end means for its job, what a row of ends says about a host."""
