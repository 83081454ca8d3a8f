"""Features of images: fixed networks, one pass over the images for all metrics, and a cache by content."""
