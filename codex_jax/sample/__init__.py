"""Sampling: many samples of one prompt, in one compiled loop; problems in, completions out."""
