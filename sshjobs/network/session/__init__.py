"""One host, over all connections to it: what is on it, what is sent to it, and what comes back."""
