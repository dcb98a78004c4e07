"""A GPU that is pretended, for a rehearsal of what runs on one: see `seam`."""
