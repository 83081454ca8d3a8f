"""Energies and value functions, and how they are trained without a sampler."""
