"""The engine's device side: parameters, state, and the compiled functions that change it."""

import concurrent.futures
import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Int16

from codex_jax import model
from codex_jax.sample.engine import prefill, shardings
from codex_jax.sample.engine.capacity import bucket
from codex_jax.sample.engine.decode import jit_decode
from codex_jax.sample.engine.requests import hash_prompt
from codex_jax.sample.engine.state import (
    EngineShape,
    LoopInputs,
    State,
    empty_inputs,
    init_state,
)


class LoopOutput(NamedTuple):
    """The output of a call of the loop, by slot, on the host."""

    queue_head: int  # samples of the queue that have started
    tokens: np.ndarray
    logprobs: np.ndarray
    length: np.ndarray
    finish_reason: np.ndarray
    top_tokens: np.ndarray | None
    top_logprobs: np.ndarray | None


class Executor:
    """Runs prefill, scoring and the decoding loop; one thread at a time may use it."""

    def __init__(
        self,
        config: model.DecoderConfig,
        params: model.Params | Callable[[], model.Params],
        shape: EngineShape,
        mesh: Mesh,
        stop_table: Int16[np.ndarray, "A V"],
        *,
        prompt_tokens: int,
    ):
        """Places the parameters on the mesh, and starts with an empty state.

        Args:
          config: The model's.
          params: Parameters, or a function that returns them, called in parallel with compilation.
          shape: Sizes that are compiled in.
          mesh: Devices.
          stop_table: The stop automata's table.
          prompt_tokens: A prompt length to compile prefill for while waiting for parameters.
        """
        self.config, self.shape = config, shape
        self.mesh = mesh
        self._dtypes = {"dtype": shape.dtype, "cache_dtype": shape.kv_cache_dtype}
        # The state's shardings never change, so nothing is compiled twice.
        state_shardings = shardings.state_shardings(config, shape, mesh)
        self._decode = jit_decode(state_shardings)
        self._insert = jax.jit(
            prefill.insert_prompt, donate_argnums=0, out_shardings=state_shardings
        )
        self.set_stop_table(stop_table)
        param_shapes = shardings.decode_param_shapes(config, shape, mesh)
        init = jax.jit(init_state, static_argnums=(0, 1), out_shardings=state_shardings)
        if callable(params):
            shapes = jax.eval_shape(lambda: init_state(config, shape))
            state = shardings.with_shardings(shapes, state_shardings)
            with self._compiling_decode(param_shapes, state):
                self._compile_prefill(param_shapes, state, prompt_tokens)
                self.state = init(config, shape)
            params = params()
        else:
            self.state = init(config, shape)
        self.params = shardings.place_params(params, shape, param_shapes)
        self._to_decode_params = shardings.jit_to_decode_params(shape, param_shapes)

    def replace_params(self, params: model.Params) -> None:
        """Takes new weights of the same model, converted on the devices.

        The old ones go first: there need not be memory for both.
        """
        del self.params
        self.params = self._to_decode_params(params)

    @contextlib.contextmanager
    def _compiling_decode(self, params: model.Params, state: State) -> Iterator[None]:
        """Compiles the loop from its arguments' shapes, in parallel with the block."""
        lowered = self._decode.lower(
            self.config, self.shape, params, state, self._stop_table, empty_inputs(self.shape)
        )
        with concurrent.futures.ThreadPoolExecutor(1) as thread:
            compiled = thread.submit(lowered.compile)
            yield
            compiled.result()

    def _compile_prefill(self, params: model.Params, state: State, prompt_tokens: int) -> None:
        """Compiles the functions that make a prompt of this length resident."""
        tokens = jax.ShapeDtypeStruct((1, bucket(prompt_tokens)), np.int32)
        number = np.int32(0)
        lowered = prefill.prefill.lower(self.config, params, tokens, number, **self._dtypes)
        cache = shardings.with_shardings(lowered.out_info, lowered.compile().output_shardings)
        self._insert.lower(state, number, cache, number, number, hash_prompt([0])).compile()

    def set_stop_table(self, table: Int16[np.ndarray, "A V"]) -> None:
        """Copies the stop automata to the devices."""
        replicated = NamedSharding(self.mesh, PartitionSpec())
        self._stop_table = jax.device_put(table.copy(), replicated)

    @property
    def occupancy(self) -> float:
        """Fraction of rows × steps that sampled."""
        return float(self.state.busy) / max(1, int(self.state.steps) * self.shape.rows)

    def insert_prompt(self, slot: int, tokens: Sequence[int]) -> None:
        """Prefills a prompt into a prompt slot."""
        length, last = np.int32(len(tokens) - 1), np.int32(tokens[-1])
        cache = self._run_padded(prefill.prefill, tokens)
        self.state = self._insert(
            self.state, np.int32(slot), cache, length, last, hash_prompt(tokens)
        )

    def score_prompt(self, tokens: Sequence[int]) -> prefill.PromptScores:
        """Starts to score a prompt's tokens; the result is on the device."""
        return self._run_padded(prefill.score_prompt, tokens)

    def _run_padded(self, function: Callable[..., Any], tokens: Sequence[int]) -> Any:
        """Runs a function of a prompt, padded to its bucket."""
        padded = np.zeros((1, bucket(len(tokens))), np.int32)
        padded[0, : len(tokens)] = tokens
        return function(self.config, self.params, padded, np.int32(len(tokens)), **self._dtypes)

    def decode(self, inputs: LoopInputs) -> None:
        """Starts a call of the loop; `read_output` waits for it."""
        self.state = self._decode(
            self.config, self.shape, self.params, self.state, self._stop_table, inputs
        )

    def read_output(self, *, top_logprobs: bool) -> LoopOutput:
        """The output of all slots, after the last call of the loop."""
        output = self.state.output
        arrays = [output.tokens, output.logprobs, output.length, output.finish_reason]
        if top_logprobs:
            arrays += [output.top_tokens, output.top_logprobs]
        head, arrays = jax.device_get((self.state.queue.head, arrays))
        return LoopOutput(int(head), *arrays, *[None] * (6 - len(arrays)))
