"""Code that the platform's applications share."""
