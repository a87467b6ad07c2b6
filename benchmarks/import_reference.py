"""The half of import_parity.py that runs in an environment with torch and transformers.

`make` saves a random model a case, with its logits, greedy tokens and token ids; `check` loads the
folders that were exported, and writes how they differ from the models that were saved.
"""

import argparse
import json
import pathlib
import shutil

LENGTH, PROMPT, GREEDY = 48, 30, 16  # tokens; windows are shorter


def save_model(torch, transformers, case, folder):
    """A random model of a case, saved with its tokenizer's files."""
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(case["family"], **case["fields"])
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn(weight.shape))
    model.generation_config = transformers.GenerationConfig(eos_token_id=case["eos_ids"])
    model.to(getattr(torch, case["dtype"])).save_pretrained(folder)
    for path in pathlib.Path(case["tokenizer"]).iterdir():
        shutil.copy(path, folder / path.name)
    # read again: in bfloat16 the rotary frequencies of `model` are rounded too
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def read_logits(torch, model, vocab_size):
    """(tokens, logits, a prompt's greedy tokens and their log-probabilities)."""
    import numpy as np

    tokens = np.random.default_rng(0).integers(0, vocab_size, (2, LENGTH))
    ids, logprobs = tokens[:1, :PROMPT].tolist()[0], []
    with torch.no_grad():
        logits = model(torch.tensor(tokens)).logits.float().numpy()
        for _ in range(GREEDY):
            last = model(torch.tensor([ids])).logits[0, -1].float().log_softmax(-1)
            ids.append(int(last.argmax()))
            logprobs.append(float(last.max()))
    return {"tokens": tokens, "logits": logits, "greedy": ids, "logprobs": logprobs}


def read_tokenizer(transformers, folder, lines):
    """Token ids of the lines, the ids in front of a text, and what else a tokenizer has."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(lines, add_special_tokens=False)["input_ids"]
    begin = tokenizer("x")["input_ids"], tokenizer("x", add_special_tokens=False)["input_ids"]
    added = {n: token.content for n, token in tokenizer.added_tokens_decoder.items()}
    return {
        "ids": ids,
        "begin": begin[0][: len(begin[0]) - len(begin[1])],
        "added": added,
        "chat_template": tokenizer.chat_template,
        "eos": tokenizer.eos_token_id,
    }


def make(folder, cases, lines):
    """Saves every case's model, its logits and its tokenizer's ids."""
    import numpy as np
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    for name, case in cases.items():
        path = folder / name
        model = save_model(torch, transformers, case, path / "theirs")
        np.savez(path / "logits.npz", **read_logits(torch, model, case["fields"]["vocab_size"]))
        answers = read_tokenizer(transformers, path / "theirs", lines)
        (path / "tokenizer_answers.json").write_text(json.dumps(answers))
    return {"versions": f"transformers {transformers.__version__}, torch {torch.__version__}"}


def check(folder, cases, lines):
    """Compares every exported folder with the model that was saved."""
    import numpy as np
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    answers = {}
    for name in cases:
        path = folder / name
        saved = np.load(path / "logits.npz")
        read = transformers.AutoModelForCausalLM.from_pretrained
        model = read(path / "exported", dtype=torch.float32).eval()
        stored = transformers.AutoConfig.from_pretrained(path / "exported")
        original = transformers.AutoConfig.from_pretrained(path / "theirs")
        with torch.no_grad():
            logits = model(torch.tensor(saved["tokens"])).logits.numpy()
        before = json.loads((path / "tokenizer_answers.json").read_text())
        after = json.loads(json.dumps(read_tokenizer(transformers, path / "exported", lines)))
        ids = ("bos_token_id", "eos_token_id", "pad_token_id", "vocab_size", "architectures")
        differing = [key for key in ids if getattr(stored, key, 0) != getattr(original, key, 0)]
        differing += [key for key in before if before[key] != after[key]]
        differing += ["dtype"] * (original.dtype != stored.dtype)
        saved_generation = transformers.GenerationConfig.from_pretrained(path / "theirs")
        same_ends = saved_generation.eos_token_id == model.generation_config.eos_token_id
        differing += [] if same_ends else ["generation eos"]
        answers[name] = {
            "logits": float(np.abs(logits - saved["logits"]).max() / np.abs(saved["logits"]).max()),
            "differing": differing,
        }
    return answers


def main():
    """Reads the cases, and writes the answers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=["make", "check"])
    parser.add_argument("folder", type=pathlib.Path)
    options = parser.parse_args()
    cases = json.loads((options.folder / "cases.json").read_text("utf-8"))
    lines = json.loads((options.folder / "lines.json").read_text("utf-8"))
    answers = {"make": make, "check": check}[options.part](options.folder, cases, lines)
    (options.folder / f"{options.part}.json").write_text(json.dumps(answers))


if __name__ == "__main__":
    main()
