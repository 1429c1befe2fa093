"""Tests of the project itself: no cluster, no network."""
