"""Health-services measures in SQL: hospital stays as episodes, readmissions, contacts after discharge."""
