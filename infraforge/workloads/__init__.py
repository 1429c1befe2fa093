"""Clients of the platform and load generators; they record what they do as a History."""
