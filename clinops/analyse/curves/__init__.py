"""Time to an event on rows of one's own, or from fitted lifelines models."""
