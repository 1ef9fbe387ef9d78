"""Outcomes in depth: what came first, what competed with it, and what came back."""
