"""The completions server: OpenAI's API of the Codex years over one engine."""
