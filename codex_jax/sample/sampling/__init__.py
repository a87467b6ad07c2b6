"""Sampling parameters, token draws, stop strings and detokenization."""
