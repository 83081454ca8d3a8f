"""dxbench from Python: what `import dxbench` offers, by the same engine and boards as the command line."""
