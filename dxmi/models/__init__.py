"""Samplers: a network and the way in which it is sampled, per seed and class label."""
