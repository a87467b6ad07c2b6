"""Samples many rows at a time with llama.cpp, for sampling_smollm2.py to compare with ours.

`pip install llama-cpp-python` compiles it for this machine.
"""

import os

_BATCH = 2048  # tokens of a call


class Llama:
    """Runs `rows` sequences in parallel; a prompt is read once, and its cache copied to all n."""

    def __init__(self, gguf: str, *, rows: int, longest: int, new: int):
        import llama_cpp as c  # here, so that --help of its scripts does without it

        self.c = c
        c.llama_backend_init()
        model = c.llama_model_load_from_file(gguf.encode(), c.llama_model_default_params())
        params = c.llama_context_default_params()
        params.n_ctx = rows * (longest + new)
        params.n_batch = params.n_ubatch = _BATCH
        params.n_seq_max = rows
        params.n_threads = params.n_threads_batch = len(os.sched_getaffinity(0))
        params.kv_unified = False  # with a shared one each row would attend to all of it
        self.context = c.llama_init_from_model(model, params)
        self.batch = c.llama_batch_init(_BATCH, 0, 1)
        self.rows = rows

    def sampler(self, temperature: float, top_p: float, seed: int):
        c = self.c
        chain = c.llama_sampler_chain_init(c.llama_sampler_chain_default_params())
        for part in (
            c.llama_sampler_init_temp(temperature),
            c.llama_sampler_init_top_p(top_p, 1),
            c.llama_sampler_init_dist(seed),
        ):
            c.llama_sampler_chain_add(chain, part)
        return chain

    def _decode(self, rows: list[tuple[int, int, int, bool]]) -> None:
        """Decodes rows of (token, position, sequence, whether its logits are needed)."""
        c = self.c
        batch = self.batch
        batch.n_tokens = len(rows)
        for n, (token, position, sequence, needs_logits) in enumerate(rows):
            batch.token[n], batch.pos[n], batch.n_seq_id[n] = token, position, 1
            batch.seq_id[n][0], batch.logits[n] = sequence, needs_logits
        if c.llama_decode(self.context, batch):
            raise RuntimeError("llama_decode refused the batch")

    def sample(self, prompts: list[list[int]], n: int, new: int, params) -> int:
        """The number of tokens of n samples of each prompt; end of text doesn't stop a sample."""
        tokens, some = 0, max(1, self.rows // n)
        for first in range(0, len(prompts), some):
            tokens += self._sample_together(prompts[first : first + some], n, new, params)
        return tokens

    def _sample_together(self, prompts: list[list[int]], n: int, new: int, params) -> int:
        c = self.c
        memory = c.llama_get_memory(self.context)
        c.llama_memory_clear(memory, True)
        chain = self.sampler(params.temperature, params.top_p, 0)
        ends, tokens = [], []
        for index, prompt in enumerate(prompts):
            last = len(prompt) - 1
            self._decode([(t, i, index * n, i == last) for i, t in enumerate(prompt)])
            for row in range(n):
                if row:
                    c.llama_memory_seq_cp(memory, index * n, index * n + row, -1, -1)
                tokens.append(c.llama_sampler_sample(chain, self.context, last))
                ends.append(len(prompt))
        for step in range(new - 1):
            rows = enumerate(zip(tokens, ends, strict=True))
            self._decode([(token, end + step, row, True) for row, (token, end) in rows])
            count = range(len(tokens))
            tokens = [c.llama_sampler_sample(chain, self.context, row) for row in count]
        c.llama_sampler_free(chain)
        return new * len(tokens)
