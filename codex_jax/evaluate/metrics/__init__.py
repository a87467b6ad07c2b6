"""pass@k, its intervals and tables, and the selection of one sample of several."""
