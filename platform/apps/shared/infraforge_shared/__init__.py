"""What the platform's applications have in common."""
