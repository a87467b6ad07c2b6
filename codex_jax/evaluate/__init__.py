"""Evaluation of completions: sandbox, judging, pass@k and report."""
