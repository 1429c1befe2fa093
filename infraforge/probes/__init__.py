"""Read-only observations of the platform: who reaches what, what lies where, what pods say."""
