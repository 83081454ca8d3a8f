"""Metrics of anomaly detection and localisation."""
