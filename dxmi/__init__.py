"""Samplers, energies and the DxMI update as a library. Plain torch; knows nothing of the benchmark."""
