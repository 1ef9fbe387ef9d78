"""The bias ladder: popular designs on records in which nothing has an effect."""
