"""Carries out one run: its manager, requests of people, and how a run starts, resumes and stops."""
