"""Learning writes one file, once, from trees or from a Mixture's texts."""

import pytest

from codex_jax import InputError
from codex_jax.data.build import build
from codex_jax.data.cleaning.cleaner import Cleaning
from codex_jax.data.corpus import SourceTree, is_validation
from codex_jax.data.train_tokenizer import learn_tokenizer
from codex_jax.tokenizer import Tokenizer

from .conftest import write_tree


def test_a_second_run_returns_at_once_and_a_changed_corpus_learns_anew(tmp_path, capsys):
    root = write_tree(tmp_path / "root", {"a.py": "alpha = beta\n" * 9})
    output = tmp_path / "tokenizer.json"

    def learn():
        learn_tokenizer(corpus={"tree": root}, output=output, vocab_size=360)
        return Tokenizer.load(output).hash, capsys.readouterr().out

    first, _ = learn()
    assert learn() == (first, f"tokenizer: {output} is up to date\n")
    (root / "b.py").write_text("gamma(delta)\n" * 9)
    third, _ = learn()
    assert third != first
    output.write_text("something else")
    with pytest.raises(InputError, match="this command didn't write it"):
        learn()
    assert output.read_text() == "something else"
    output.unlink()
    assert learn()[0] == third


def test_whitespace_tokens_make_indented_code_short(tokenizer, tree):
    text = (tree / "long.py").read_text()
    indents = text.count("\n    ")
    without = text.replace("\n    ", "\n").replace("\n    ", "\n")
    assert len(tokenizer.encode(text)) <= len(tokenizer.encode(without)) + indents


def test_a_corpus_without_usable_files_is_refused(tmp_path):
    root = write_tree(tmp_path / "root", {"a.py": b"\x00", "b.txt": "text"})
    with pytest.raises(InputError, match="1 binary"):
        learn_tokenizer(corpus={"tree": root}, output=tmp_path / "t.json", vocab_size=400)
    assert not (tmp_path / "t.json").exists()


MODULE = """
import seqio

from codex_jax.data.corpus import SourceTree
from codex_jax.data.seqio_tasks.tasks import add_tree_task
from codex_jax.data.seqio_tasks.vocabulary import BytePairVocabulary

FILE = {file!r}  # which isn't there yet
features = {{"targets": seqio.Feature(BytePairVocabulary(FILE), add_eos=True)}}
tokenize = [seqio.preprocessors.tokenize, seqio.preprocessors.append_eos]


def add(name, files, other=features):
    source = seqio.TextLineDataSource(files)
    steps = [lambda data: data.map(lambda line: {{"targets": line}}), *tokenize]
    seqio.TaskRegistry.add(name, source=source, preprocessors=steps, output_features=other)


add("words", {{"train": "{folder}/t.txt", "validation": "{folder}/v.txt"}})
add("unused", {{"train": "{folder}/u.txt"}})
add("other", {{"train": "{folder}/u.txt"}}, {{"targets": seqio.Feature(seqio.ByteVocabulary())}})
add("blank", {{"validation": "{folder}/v.txt"}})
add_tree_task("code", SourceTree(path="{folder}/code", validation_share={share}), FILE)
seqio.MixtureRegistry.add("inner", [("words", 1.0), ("unused", 0.0)])
seqio.MixtureRegistry.add("texts", [("inner", 0.4), ("code", 0.6), ("tree", 0.0)])
"""


@pytest.fixture
def texts_module(tmp_path, monkeypatch):
    pytest.importorskip("seqio")

    def write(name, share=0.0):
        fields = {"file": str(tmp_path / "t.json"), "folder": tmp_path, "share": share}
        module = MODULE.format(**fields)
        write_tree(tmp_path, {f"{name}.py": module, "code/a.py": "delta = epsilon\n" * 9})
        for key, word in {"t": "alphabet", "v": "holdout", "u": "zeppelin"}.items():
            (tmp_path / f"{key}.txt").write_text(f"{word} {word}\n" * 20)
        monkeypatch.syspath_prepend(tmp_path)
        return name

    yield write
    import seqio

    for name in ("words", "unused", "other", "blank", "code", "tree"):
        seqio.TaskRegistry.remove(name)
    for name in ("inner", "texts"):
        seqio.MixtureRegistry.remove(name)


def test_a_mixture_is_learnt_before_its_tokenizer_is_there(texts_module, tmp_path, capsys):
    tree = write_tree(tmp_path / "tree", {"a.py": "quantity = 1\n" * 20})
    output = tmp_path / "t.json"
    settings = {"output": output, "vocab_size": 400, "modules": texts_module("texts_module")}
    settings |= {"corpus": {"tree": tree}}
    learn_tokenizer(mixture="texts", **settings)
    tokenizer = Tokenizer.load(output)
    lengths = {
        word: len(tokenizer.encode(" " + word))
        for word in ("alphabet", "epsilon", "holdout", "zeppelin", "quantity")
    }
    assert lengths["alphabet"] == lengths["epsilon"] == 1
    assert min(lengths[word] for word in ("holdout", "zeppelin", "quantity")) > 1, lengths
    learn_tokenizer(mixture="texts", **settings)
    assert "up to date" in capsys.readouterr().out
    learn_tokenizer(mixture="tree", **settings)
    assert len(Tokenizer.load(output).encode("quantity")) == 1
    with (tmp_path / "t.txt").open("a") as out:
        out.write("waterfall\n" * 40)
    learn_tokenizer(mixture="words", **settings)
    assert len(Tokenizer.load(output).encode("waterfall")) == 1
    rows = {"tokenizer": output, "output": tmp_path / "rows", "sequence_length": 64}
    blend = {key: settings[key] for key in ("corpus", "modules")}
    assert build(**blend, **rows, mixture="texts").sources["words"]["tokens"] > 0


def test_what_holds_no_text_is_refused(texts_module, tmp_path):
    settings = {"output": tmp_path / "t.json", "vocab_size": 400}
    settings |= {
        "modules": texts_module("refused_module", share=0.99),
        "corpus": {"tree": tmp_path},
    }
    for mixture, message in {
        "other": "the vocabulary of targets is a ByteVocabulary; expected a BytePairVocabulary",
        "wods": r"'wods' is no registered Task or Mixture \(near: words\)",
        "code": "no usable file in code",
        "blank": "no example in the split train of blank; check source, preprocessors",
        "": "set mixture to a name of theirs",
    }.items():
        with pytest.raises(InputError, match=message) as error:
            learn_tokenizer(mixture=mixture, **settings)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="cleaning is set, but it holds for trees of files"):
        learn_tokenizer(mixture="words", cleaning=Cleaning(secrets=True), **settings)
    (tmp_path / "t.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(InputError, match=r"task 'words', split train: .*Unicode"):
        learn_tokenizer(mixture="words", **settings)
    assert not (tmp_path / "t.json").exists()


def test_held_out_documents_and_those_of_weight_0_are_not_learnt(tmp_path):
    files = {f"{name}.py": f"{name * 6} = 1\n" * 9 for name in ("a", "b", "c", "d", "e", "f")}
    root = write_tree(tmp_path / "root", files | {"x.c": "int unlearnt;\n" * 9})
    tree = SourceTree(
        path=str(root),
        languages=("Python", "C"),
        language_weights={"C": 0.0},
        validation_share=0.5,
    )
    learn_tokenizer(corpus={"t": tree}, output=tmp_path / "t.json", vocab_size=500)
    tokenizer = Tokenizer.load(tmp_path / "t.json")
    assert len(tokenizer.encode(" unlearnt")) > 1
    held_out = {name for name in files if is_validation(name, 0.5)}
    assert 0 < len(held_out) < len(files)
    for name, text in files.items():
        assert (len(tokenizer.encode(text[:6])) > 1) == (name in held_out)
