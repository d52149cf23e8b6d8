"""What runs a cell's equations: the reference, which is their meaning, and what is faster."""
