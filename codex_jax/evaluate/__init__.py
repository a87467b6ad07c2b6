"""From completions to verdicts to pass@k: the sandbox, the judge outside it, and the report."""
