"""Read-only observations of the platform: who reaches what, where data lie, what pods print."""
