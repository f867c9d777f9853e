"""Trouble of the manager's own machine: said, waited for or left in good order, and never blamed on a host or a job."""
