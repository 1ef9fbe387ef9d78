"""A trial with one row a person: what the offer changed, in whom, and what would have been seen without it."""
