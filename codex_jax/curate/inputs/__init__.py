"""Arguments to call a function with: recorded, written down, or generated."""
