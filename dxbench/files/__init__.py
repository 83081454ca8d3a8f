"""Files: atomic writing, suspicious reading, archives, images and weights."""
