"""Table 1 of anybody's frame: characteristics by group, with standardised differences."""
