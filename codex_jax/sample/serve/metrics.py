"""Prometheus metrics under vLLM's names, so that its dashboards work."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from codex_jax.sample.serve.engine_thread import Driver

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_TOKENS = (1, 4, 16, 64, 128, 256, 512, 1024, 2048, 4096)


class Metrics:
    """What has been asked and answered, and what is under way."""

    def __init__(self, driver: Driver, model: str):
        self._registry = CollectorRegistry()
        self._model = model

        def labelled(kind, name, words, **options):
            made = kind(f"vllm:{name}", words, ["model_name"], registry=self._registry, **options)
            return made.labels(model)

        labelled(Gauge, "num_requests_running", "Samples that rows work on.").set_function(
            lambda: driver.load[0]
        )
        labelled(Gauge, "num_requests_waiting", "Samples that wait for a row.").set_function(
            lambda: driver.load[1]
        )
        self.prompt_tokens = labelled(Counter, "prompt_tokens", "Tokens of prompts.")
        self.generation_tokens = labelled(Counter, "generation_tokens", "New tokens.")
        self.first_token = labelled(
            Histogram,
            "time_to_first_token_seconds",
            "From a request's arrival to its first piece, streamed requests only.",
            buckets=_SECONDS,
        )
        self.latency = labelled(
            Histogram,
            "e2e_request_latency_seconds",
            "From a request's arrival to its end.",
            buckets=_SECONDS,
        )
        self.request_prompt = labelled(
            Histogram, "request_prompt_tokens", "Tokens of a request's prompts.", buckets=_TOKENS
        )
        self.request_new = labelled(
            Histogram, "request_generation_tokens", "New tokens of a request.", buckets=_TOKENS
        )
        self._success = Counter(
            "vllm:request_success",
            "Requests by how they ended.",
            ["model_name", "finished_reason"],
            registry=self._registry,
        )

    def ended(self, how: str, prompt: int, new: int, seconds: float) -> None:
        """Notes a request's end: "stop", "length", "abort" or "error"."""
        self._success.labels(self._model, how).inc()
        self.prompt_tokens.inc(prompt)
        self.generation_tokens.inc(new)
        self.request_prompt.observe(prompt)
        self.request_new.observe(new)
        self.latency.observe(seconds)

    def text(self) -> bytes:
        """In Prometheus' format."""
        return generate_latest(self._registry)
