import json
import pathlib
import shutil

import jax
import numpy as np
import pytest

from codex_jax import InputError, checkpoint, model
from codex_jax.convert.convert import import_weights
from codex_jax.main import cli
from codex_jax.tokenizer import Tokenizer
from tests.convert.conftest import write_tokenizer

pytest.importorskip("safetensors")
WORD_PIECE = {"type": "WordPiece", "prefix": "##", "cleanup": True}


def test_exported_and_imported_it_is_the_same_model(folder, tmp_path):
    import_weights(
        source=str(folder / "theirs"),
        output=str(tmp_path / "again"),
        tokenizer=str(tmp_path / "tokenizer.json"),
    )
    card = checkpoint.read_card(tmp_path / "again")
    before = checkpoint.read_card(folder / "ours")
    config = model.DecoderConfig.from_json(before.model)
    assert {**card.model, "vocab_multiple": 1} == before.model
    text = Tokenizer.load(tmp_path / "tokenizer.json")
    assert card.tokenizer_hash == text.hash
    shapes = [
        model.abstract_params(model.DecoderConfig.from_json(c.model))[0] for c in (before, card)
    ]
    old = checkpoint.restore_params(folder / "ours", shapes[0])
    new = checkpoint.restore_params(tmp_path / "again", shapes[1])
    new["embedding"] = new["embedding"][: config.vocab_size]
    jax.tree.map(np.testing.assert_array_equal, new, old)


def test_an_import_into_a_bucket_is_read_there(folder, bucket):
    words = ["--output=gs://bucket/again", "--tokenizer=gs://bucket/again/tokenizer.json"]
    assert cli.main(["import", f"--source={folder / 'theirs'}", *words]) == 0
    assert bucket.writes[-1] == "again/0/commit_success.txt"
    card = checkpoint.read_card("gs://bucket/again")
    shapes = model.abstract_params(model.DecoderConfig.from_json(card.model))[0]
    before = model.DecoderConfig.from_json(checkpoint.read_card(folder / "ours").model)
    params = checkpoint.restore_params("gs://bucket/again", shapes)
    old = checkpoint.restore_params(folder / "ours", model.abstract_params(before)[0])
    params["embedding"] = params["embedding"][: before.vocab_size]
    jax.tree.map(np.testing.assert_array_equal, old, params)
    with checkpoint.Checkpoints("gs://bucket/again") as checkpoints:
        assert checkpoints.latest == 0


def test_the_tokenizer_splits_digits_and_keeps_ids(folder, tmp_path):
    path = tmp_path / "tokenizer.json"
    import_weights(source=str(folder / "theirs"), output=str(tmp_path / "c"), tokenizer=str(path))
    text = Tokenizer.load(path)
    spelled = [text.token_bytes(n) for n in text.encode("abc ab 12  3")]
    assert spelled == [b"abc", b" ab", b" ", b"1", b"2", b" ", b" ", b"3"]
    assert text.eos_id == 0
    assert text.token_bytes(1) == b"<extra>"
    assert text.encode("<extra>") != [1]
    assert text.encode("<extra>", specials=True) == [1]
    assert (text.vocab_size, text.token_bytes(299)) == (300, b"")  # as the model has rows


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "config.json").unlink(), "expected a Hugging Face folder"),
        (lambda f: (f / "config.json").write_text("[" * 100_000), "nested too deep; expected a"),
        (lambda f: (f / "model.safetensors").unlink(), "no \\*.safetensors in it"),
        (lambda f: (f / "config.json").write_text('{"model_type": "mamba"}'), "family 'mamba'"),
        (lambda f: write_tokenizer(f, decoder={"type": "WordPiece"}), "can't be read"),
        (lambda f: write_tokenizer(f, decoder=WORD_PIECE), "tokenizer.json decodes by WordPiece"),
        (lambda f: (f / "tokenizer.json").write_text("[1]"), "expected an object"),
        (lambda f: (f / "tokenizer.json").write_text("{}"), "it has no model"),
    ],
    ids=["config", "deep", "weights", "family", "tokenizer", "word-piece", "list", "empty"],
)
def test_an_incomplete_folder_is_one_line(folder, tmp_path, change, message):
    copy = tmp_path / "copy"
    shutil.copytree(folder / "theirs", copy)
    change(copy)
    with pytest.raises(InputError, match=message):
        import_weights(
            source=str(copy), output=str(tmp_path / "c"), tokenizer=str(tmp_path / "t.json")
        )


def test_a_tensor_that_no_row_reads_is_refused_by_name(folder, tmp_path):
    from safetensors.numpy import load_file, save_file

    copy = tmp_path / "copy"
    shutil.copytree(folder / "theirs", copy)
    tensors = load_file(copy / "model.safetensors")
    tensors["model.layers.0.self_attn.q_proj.bias"] = np.ones(16, "f")
    save_file(tensors, copy / "model.safetensors")
    with pytest.raises(InputError, match=r"q_proj\.bias are read by no row"):
        import_weights(
            source=str(copy), output=str(tmp_path / "c"), tokenizer=str(tmp_path / "t.json")
        )
    assert not (tmp_path / "t.json").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a complete safetensors"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"hello" * 99, "not a complete safetensors"),
    ],
)
def test_a_foreign_or_empty_safetensors_is_one_line(folder, tmp_path, content, message):
    copy = tmp_path / "copy"
    shutil.copytree(folder / "theirs", copy)
    (copy / "model.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=message):
        import_weights(source=str(copy), output=str(tmp_path / "c"))


def test_a_second_import_into_one_output_is_refused(folder, tmp_path):
    settings = {"source": str(folder / "theirs"), "output": str(tmp_path / "c")}
    import_weights(**settings, tokenizer=str(tmp_path / "t.json"))
    before = (tmp_path / "t.json").read_bytes()
    with pytest.raises(InputError, match="c is there already; set output"):
        import_weights(**settings, tokenizer=str(tmp_path / "u.json"))
    with pytest.raises(InputError, match=r"t\.json is there already; set tokenizer"):
        import_weights(
            source=settings["source"],
            output=str(tmp_path / "d"),
            tokenizer=str(tmp_path / "t.json"),
        )
    assert (tmp_path / "t.json").read_bytes() == before
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("name", ["output", "tokenizer"])
@pytest.mark.parametrize("path", ["/proc/x", "loop", "broken/x"])
def test_where_nothing_can_be_created_nothing_is_read(tmp_path, monkeypatch, name, path):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("loop").symlink_to("loop")
    pathlib.Path("broken").symlink_to("nowhere")
    settings = {"source": "absent", "output": "c", "tokenizer": "t.json"}
    with pytest.raises(InputError, match=f"set {name} to |loop is there already"):
        import_weights(**settings | {name: path})
    assert {entry.name for entry in tmp_path.iterdir()} == {"loop", "broken"}


def change_json(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("config.json", {"model_type": ["llama"]}, "another form"),
        ("config.json", {"hidden_size": [16]}, "hidden_size"),
        ("config.json", {"vocab_size": 200}, "a token 260, its model 200 rows"),
        ("tokenizer_config.json", {"added_tokens_decoder": {"x": {}}}, "another form"),
        ("tokenizer_config.json", {"additional_special_tokens": 3}, "another form"),
        ("tokenizer.json", {"added_tokens": "x"}, "can't be read by tokenizers"),
        ("tokenizer.json", {"pre_tokenizer": [1]}, "can't be read by tokenizers"),
        ("generation_config.json", {"eos_token_id": "2"}, "expected token ids"),
    ],
)
def test_values_of_another_form_are_one_line(folder, tmp_path, name, changes, message):
    copy = tmp_path / "copy"
    shutil.copytree(folder / "theirs", copy)
    (copy / "tokenizer_config.json").write_text("{}")
    change_json(copy / name, **changes)
    with pytest.raises(InputError, match=message):
        import_weights(
            source=str(copy), output=str(tmp_path / "c"), tokenizer=str(tmp_path / "t.json")
        )
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


@pytest.mark.parametrize("layers", [1, 10**6, 10**9])
def test_layers_without_tensors_are_named_at_the_first(folder, tmp_path, layers):
    copy = tmp_path / "copy"
    shutil.copytree(folder / "theirs", copy)
    fields = json.loads((copy / "config.json").read_text())
    have = fields["num_hidden_layers"]
    (copy / "config.json").write_text(json.dumps(fields | {"num_hidden_layers": layers + have}))
    with pytest.raises(InputError, match=rf"no tensor .*\.{have}\."):
        import_weights(
            source=str(copy), output=str(tmp_path / "c"), tokenizer=str(tmp_path / "t.json")
        )
