"""The exhibits of a report: each a `Result` made from a stage of the study."""
