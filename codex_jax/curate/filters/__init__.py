"""Filters of problems: licences, samples, near duplicates, benchmarks."""
