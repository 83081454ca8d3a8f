"""`dxbench new`: packages of one's own, from templates that are tested as they stand."""
