"""Cost of care: the ledger, effects on cost, decisions."""
