"""Backbones: a network with its denoiser, its loss and its few-step sampler."""
