"""JAX's coordination service in one process: keys and barriers without a network."""

import threading

import jax


class FakeService:
    """Keys and barriers that several clients share."""

    def __init__(self, count):
        self.count = count
        self.keys = {}
        self.barriers = {}
        self.is_silent = False


class FakeClient:
    """A client, with the methods of DistributedRuntimeClient that are used."""

    def __init__(self, service):
        self.service = service

    def _check(self):
        if self.service.is_silent:
            raise jax.errors.JaxRuntimeError("UNAVAILABLE: no answer")

    def key_value_set(self, key, value, allow_overwrite=False):
        self._check()
        assert allow_overwrite or key not in self.service.keys
        self.service.keys[key] = value

    def key_value_dir_get(self, key):
        self._check()
        return [(k, v) for k, v in self.service.keys.items() if k.startswith(key)]

    def wait_at_barrier(self, name, timeout_in_ms):
        self._check()
        barrier = self.service.barriers.setdefault(name, threading.Barrier(self.service.count))
        try:
            barrier.wait(timeout_in_ms / 1000)
        except threading.BrokenBarrierError:
            raise jax.errors.JaxRuntimeError("DEADLINE_EXCEEDED: Barrier timed out") from None
