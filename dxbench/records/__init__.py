"""Records of runs on disk: written atomically, read with suspicion, found again by an index."""
