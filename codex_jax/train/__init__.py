"""Batches to checkpoint: optimizer, state, step, loop."""
