"""Health-services measures as exhibits."""
