"""What jobs, attempts, hosts and their states are: pure data. No clock, no disk, no process."""
