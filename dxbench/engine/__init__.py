"""Running cells: plan, loop, checkpoints, provenance, launchers."""
