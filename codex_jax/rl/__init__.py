"""Learning from execution: samples, verdicts, and updates of the weights that sampled."""
