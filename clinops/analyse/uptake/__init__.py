"""What a programme's offer, its activation and engagement with it say, each as a date of its own."""
