"""The ledger: claims and enrolment, whatever their shape, as one table of costs and one of covered days."""
