"""Suite files (*.toml): rows of one table."""
