"""Prometheus metrics under vLLM's names, so that its dashboards work."""

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from codex_jax.sample.serve.engine_thread import EngineThread

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_TOKENS = (1, 4, 16, 64, 128, 256, 512, 1024, 2048, 4096)


class Metrics:
    """Counts of requests and tokens, and latencies."""

    def __init__(self, engine_thread: EngineThread, model: str):
        self._registry = CollectorRegistry()
        self._model = model
        self._add_gauges(engine_thread)
        self.prompt_tokens = self._metric(Counter, "prompt_tokens", "Tokens of prompts.")
        self.generation_tokens = self._metric(Counter, "generation_tokens", "New tokens.")
        self.first_token = self._metric(
            Histogram,
            "time_to_first_token_seconds",
            "From a request's arrival to its first piece, streamed requests only.",
            buckets=_SECONDS,
        )
        self.latency = self._metric(
            Histogram,
            "e2e_request_latency_seconds",
            "From a request's arrival to its end.",
            buckets=_SECONDS,
        )
        self.request_prompt = self._metric(
            Histogram, "request_prompt_tokens", "Tokens of a request's prompts.", buckets=_TOKENS
        )
        self.request_new = self._metric(
            Histogram, "request_generation_tokens", "New tokens of a request.", buckets=_TOKENS
        )
        self._success = Counter(
            "vllm:request_success",
            "Requests by how they ended.",
            ["model_name", "finished_reason"],
            registry=self._registry,
        )

    def _add_gauges(self, engine_thread: EngineThread) -> None:
        running = self._metric(Gauge, "num_requests_running", "Samples in rows.")
        running.set_function(lambda: engine_thread.load[0])
        waiting = self._metric(Gauge, "num_requests_waiting", "Samples that wait for a row.")
        waiting.set_function(lambda: engine_thread.load[1])

    def _metric(self, metric_class: type, name: str, description: str, **options: Any) -> Any:
        metric = metric_class(
            f"vllm:{name}", description, ["model_name"], registry=self._registry, **options
        )
        return metric.labels(self._model)

    def record_end(self, reason: str, prompt: int, new: int, seconds: float) -> None:
        """Counts a request that ended by "stop", "length", "abort" or "error"."""
        self._success.labels(self._model, reason).inc()
        self.prompt_tokens.inc(prompt)
        self.generation_tokens.inc(new)
        self.request_prompt.observe(prompt)
        self.request_new.observe(new)
        self.latency.observe(seconds)

    def text(self) -> bytes:
        """All metrics in Prometheus' format."""
        return generate_latest(self._registry)
