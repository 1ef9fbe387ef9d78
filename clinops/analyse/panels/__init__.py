"""Sites by calendar period: staggered roll-outs and interrupted series, from records to a report."""
