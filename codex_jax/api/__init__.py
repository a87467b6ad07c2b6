"""The Python interface: `import codex_jax as cj`.

From source files to a checkpoint, from a prompt to verdicts, each step a call. The examples of the
functions are one session; a test runs it. Each imports its rooms (`codex_jax.data`, `train`,
`sample`, `evaluate`) when it is called; they have every other setting.
"""
