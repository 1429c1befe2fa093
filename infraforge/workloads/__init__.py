"""Clients of the platform and generators of load; what they do becomes a History."""
