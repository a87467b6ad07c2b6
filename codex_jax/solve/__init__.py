"""solve: programs by pieces that are sampled, run, and merged by what they do."""
