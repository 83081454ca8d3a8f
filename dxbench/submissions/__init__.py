"""Bundles of records that others can check without running anything: pack, validate, merge."""
