"""Clusters the platform can stand on, and what the harness needs of them."""
