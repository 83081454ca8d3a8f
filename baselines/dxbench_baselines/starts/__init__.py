"""Starts: what a method begins from, fetched, found where another run has left it, or trained first."""
