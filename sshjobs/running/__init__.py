"""One run carried out: its manager, what people ask of it, and the ways in which it starts, goes on and stops."""
