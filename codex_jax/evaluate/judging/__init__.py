"""Judging: completions to verdicts, by check() outside the sandbox where possible."""
