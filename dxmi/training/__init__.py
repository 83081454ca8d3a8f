"""Training: optimised modules, parallel batches, losses of denoisers and policies."""
