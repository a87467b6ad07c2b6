"""The half of gguf_parity.py that runs in an environment with cyllama, a build of llama.cpp.

For each file named in FOLDER/files.json it writes the logits behind each token of FOLDER/tokens.npy
to FOLDER/logits.npz, and the token ids of FOLDER/lines.json to FOLDER/ids.json.
"""

import argparse
import json
import pathlib

F32, NO_FLASH_ATTENTION = 0, 0  # llama.cpp's numbers


def read_logits(llama, numpy, model, tokens):
    """Logits behind each token, the cache in float32."""
    params = llama.LlamaContextParams()
    params.n_ctx = params.n_batch = params.n_ubatch = 2 * len(tokens)
    params.n_threads = params.n_threads_batch = 2
    params.type_k = params.type_v = F32
    params.flash_attn_type = NO_FLASH_ATTENTION
    context, logits = llama.LlamaContext(model, params, verbose=False), []
    for position, token in enumerate(tokens):
        batch = llama.LlamaBatch(n_tokens=1, embd=0, n_seq_max=1)
        batch.set_batch([token], position, False)
        batch.set_last_logits_to_true()
        context.decode(batch)
        logits.append(context.get_logits())
    return numpy.array(logits, numpy.float32)


def main():
    """Writes the answers."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=pathlib.Path, help="where gguf_parity.py works")
    folder = parser.parse_args().folder
    import numpy
    from cyllama.llama import llama_cpp

    class Model(llama_cpp.LlamaModel):
        """With the property that its contexts read, and version 0.2.18 lacks."""

        @property
        def n_vocab(self):
            return self.get_vocab().n_vocab

    files = json.loads((folder / "files.json").read_text())
    lines = json.loads((folder / "lines.json").read_text())
    tokens = numpy.load(folder / "tokens.npy").tolist()
    logits, ids = {}, {}
    for name, path in files.items():
        model = Model(path, verbose=False)
        vocabulary = model.get_vocab()
        logits[name] = read_logits(llama_cpp, numpy, model, tokens)
        ids[name] = [vocabulary.tokenize(line, False, False) for line in lines]
    numpy.savez(folder / "logits.npz", **logits)
    (folder / "ids.json").write_text(json.dumps(ids))


if __name__ == "__main__":
    main()
