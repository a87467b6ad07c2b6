"""The engine: one compiled loop over rows, refilled from a queue of requests."""
