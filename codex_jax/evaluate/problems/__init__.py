"""Problem files in the formats of published benchmarks."""
