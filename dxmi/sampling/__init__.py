"""Sampling: noise, policies and their rollouts, denoisers and their samplers."""
