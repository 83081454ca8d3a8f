"""Methods, one file each: imports dxbench.api and parts of dxmi, never a sibling."""
