"""Sampling parameters, stop strings and detokenization."""
