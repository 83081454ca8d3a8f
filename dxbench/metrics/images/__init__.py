"""Metrics of images by the features of a network."""
