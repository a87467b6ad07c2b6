import json
import shutil

import jax
import numpy as np
import pytest

from codex_jax import InputError, checkpoint, model
from codex_jax.convert.convert import import_weights
from codex_jax.convert.export import export_weights
from codex_jax.tokenizer import Tokenizer
from tests.convert.small_tokenizer import added_token, small_tokenizer

pytest.importorskip("safetensors")
GENERATION = {"eos_token_id": [1, 0], "do_sample": True, "top_k": 5}
SETTINGS = {"eos_token": "<extra>", "bos_token": "<|endoftext|>", "add_bos_token": True}
SETTINGS |= {"chat_template": "{{ bos_token }}{{ messages[0].content }}"}


def read_json(path):
    return json.loads(path.read_text("utf-8"))


def write_json(path, fields):
    path.write_text(json.dumps(fields), "utf-8")


@pytest.fixture(scope="module")
def original(folder, tmp_path_factory):
    """A folder with every file that an instruction-tuned model has, its weights in bfloat16."""
    path = tmp_path_factory.mktemp("original") / "model"
    export_weights(checkpoint_dir=str(folder / "ours"), output=str(path), dtype="bfloat16")
    runs = [added_token(261 + n, " " * (n + 2), special=False) for n in range(9)]
    runs.append(added_token(270, "<turn>", special=False, rstrip=True))
    added = [*small_tokenizer()["added_tokens"], *runs]
    write_json(path / "tokenizer.json", small_tokenizer(added_tokens=added))
    write_json(path / "tokenizer_config.json", SETTINGS)
    write_json(path / "generation_config.json", GENERATION)
    fields = read_json(path / "config.json") | {"eos_token_id": 1, "pad_token_id": 1}
    write_json(path / "config.json", fields | {"architectures": ["LlamaForCausalLM"]})
    return path


@pytest.fixture(scope="module")
def exported(original, tmp_path_factory):
    """(our files, the export) of an import of the original."""
    root = tmp_path_factory.mktemp("exported")
    imported = {"output": str(root / "ours"), "tokenizer": str(root / "t.json")}
    import_weights(source=str(original), **imported)
    export_weights(
        checkpoint_dir=imported["output"],
        tokenizer=imported["tokenizer"],
        output=str(root / "theirs"),
    )
    return root / "ours", root / "theirs"


def test_an_import_is_exported_as_it_was(original, exported):
    _, export = exported
    assert {p.name for p in export.iterdir()} == {p.name for p in original.iterdir()}
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        assert read_json(export / name) == read_json(original / name), name
    before, after = (read_json(path / "config.json") for path in (original, export))
    assert after == before
    assert after["torch_dtype"] == "bfloat16"
    shards = [(path / "model.safetensors").read_bytes() for path in (original, export)]
    assert shards[0] == shards[1]


def test_the_card_has_every_end(exported):
    card = checkpoint.read_card(exported[0])
    assert (card.eos_ids, card.begin_ids) == ([1, 0], [0])
    assert card.origin["generation"] == GENERATION


def test_a_second_import_has_the_same_tokenizer_and_weights(exported, tmp_path):
    imported, export = exported
    again = {"output": str(tmp_path / "again"), "tokenizer": str(tmp_path / "t.json")}
    import_weights(source=str(export), **again)
    cards = [checkpoint.read_card(path) for path in (imported, again["output"])]
    assert cards[0].tokenizer_hash == cards[1].tokenizer_hash
    assert cards[0].differences(cards[1]) == ["run.imported: 'model', 'theirs'"]
    shapes, _ = model.abstract_params(model.DecoderConfig.from_json(cards[0].model))
    params = [checkpoint.restore_params(path, shapes) for path in (imported, again["output"])]
    jax.tree.map(np.testing.assert_array_equal, *params)


def test_another_dtype_and_family_are_settings(exported, tmp_path):
    settings = {"checkpoint_dir": str(exported[0]), "output": str(tmp_path / "out")}
    export_weights(**settings, dtype="float16", family="mistral")
    fields = read_json(tmp_path / "out" / "config.json")
    assert fields["architectures"] == ["MistralForCausalLM"]
    assert (fields["torch_dtype"], fields["eos_token_id"]) == ("float16", [1, 0])
    assert not (tmp_path / "out" / "tokenizer.json").exists()


def test_a_failed_export_leaves_nothing(exported, tmp_path, monkeypatch):
    def fail(*_args, **_settings):
        raise OSError("no space")

    monkeypatch.setattr(Tokenizer, "export", fail)
    settings = {"checkpoint_dir": str(exported[0]), "tokenizer": str(exported[0].parent / "t.json")}
    with pytest.raises(InputError, match="out was not written: no space"):
        export_weights(**settings, output=str(tmp_path / "out"))
    assert not list(tmp_path.iterdir())
    shutil.copytree(exported[0], tmp_path / "kept")
    with pytest.raises(InputError, match="kept is there already"):
        export_weights(**settings, output=str(tmp_path / "kept"))


def test_an_exported_tokenizer_is_imported_with_the_same_hash(tmp_path):
    text = Tokenizer.train(["def f(x):\n    return x\n"] * 3, vocab_size=400)
    text.save(tmp_path / "tokenizer.json")
    config = model.DecoderConfig(
        vocab_size=text.vocab_size, layers=1, width=16, heads=2, max_length=64, vocab_multiple=1
    )
    saved = checkpoint.Checkpoints(tmp_path / "ours")
    params = jax.jit(model.init, static_argnums=0)(config, jax.random.key(0))
    card = checkpoint.Card(model=config.to_json(), tokenizer_hash=text.hash)
    saved.save(0, params, {"step": 0}, card)
    saved.finish()
    saved.close()
    settings = {"checkpoint_dir": str(tmp_path / "ours"), "family": "gpt2"}
    export_weights(
        **settings, output=str(tmp_path / "theirs"), tokenizer=str(tmp_path / "tokenizer.json")
    )
    import_weights(
        source=str(tmp_path / "theirs"),
        output=str(tmp_path / "again"),
        tokenizer=str(tmp_path / "again.json"),
    )
    again = Tokenizer.load(tmp_path / "again.json")
    assert again.hash == text.hash
    assert checkpoint.read_card(tmp_path / "again").tokenizer_hash == text.hash
    assert again.special_id("<|fim_middle|>") == text.special_id("<|fim_middle|>")
    Tokenizer.train(["other\n"] * 3, vocab_size=400).save(tmp_path / "other.json")
    other = str(tmp_path / "other.json")
    with pytest.raises(InputError, match="the checkpoint was trained with"):
        export_weights(**settings, output=str(tmp_path / "no"), tokenizer=other)


def test_a_config_that_a_family_cannot_express_is_refused(folder, tmp_path):
    with pytest.raises(InputError, match="starcoder2 always has"):
        export_weights(
            checkpoint_dir=str(folder / "ours"), output=str(tmp_path), family="starcoder2"
        )
    with pytest.raises(
        InputError, match="expected one of codegen, gemma, gpt2, gpt_neox, gptj, granite, llama"
    ):
        export_weights(checkpoint_dir=str(folder / "ours"), output=str(tmp_path), family="bert")
    with pytest.raises(InputError, match="dtype is 'int8'"):
        export_weights(checkpoint_dir=str(folder / "ours"), output=str(tmp_path), dtype="int8")


@pytest.mark.parametrize(
    ("value", "dtype", "largest"),
    [(1e6, "float16", "1e+06"), (3.4028e38, "bfloat16", "3.4028e+38"), (np.nan, "float32", "nan")],
)
def test_values_that_the_dtype_has_not_are_refused_and_leave_no_folder(
    folder, tmp_path, monkeypatch, value, dtype, largest
):
    restore = checkpoint.restore_params

    def restore_with_value(*arguments, **settings):
        params = restore(*arguments, **settings)
        return params | {"norm": {"scale": params["norm"]["scale"].at[1].set(value)}}

    monkeypatch.setattr(checkpoint, "restore_params", restore_with_value)
    settings = {"checkpoint_dir": str(folder / "ours"), "output": str(tmp_path / "out")}
    with pytest.raises(InputError, match=f"1 of the .* in {dtype}") as error:
        export_weights(**settings, dtype=dtype)
    assert f"the largest is {largest}" in str(error.value)
    assert not list(tmp_path.iterdir())
