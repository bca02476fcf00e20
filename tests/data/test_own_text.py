"""Texts of one's own: described by a TOML file, trained on, killed and continued."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from evenhand import data
from evenhand.batch import Batch, Split
from evenhand.errors import BadInput
from evenhand.losses import cross_entropy
from evenhand.methods._base import Method, State
from evenhand.model import Model
from evenhand.plan import Plan, new_model, resolve
from evenhand.train import fit

transformers = pytest.importorskip("transformers", reason="the extra evenhand[text] is not installed")

TOML = 'path = "said.csv"\ntext = "said"\nlabel = "mood"\nattributes = ["who"]\n'


@pytest.fixture(autouse=True)
def _cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EVENHAND_CACHE", str(tmp_path / "cache"))


def table(n_rows: int = 120) -> list[str]:
    """The mood is a word of the text; the author wrote five rows on end."""
    lines = ["said,reply,mood,who,author,part"]
    for k in range(n_rows):
        mood, who = k % 2, k // 2 % 2
        words = " ".join(f"w{(k * 7 + j) % 11}" for j in range(k % 9))
        said = f'"so {("bad", "good")[mood]}, {words}"'
        part = ("train", "train", "train", "val", "test")[k // 4 % 5]
        lines.append(f"{said},reply {k % 3},{('low', 'high')[mood]},{'ab'[who]},author{k // 4},{part}")
    return lines


def write(tmp_path: Path, toml: str = TOML, lines: list[str] | None = None) -> str:
    (tmp_path / "said.csv").write_text("\n".join(lines or table()) + "\n")
    (tmp_path / "mine.toml").write_text(toml)
    return str(tmp_path / "mine.toml")


def test_texts_labels_and_attributes(tmp_path: Path) -> None:
    loaded = data.load(write(tmp_path, TOML + 'split = "part"\npositive = "high"\n'))
    assert [len(part) for part in (loaded.train, loaded.val, loaded.test)] == [72, 24, 24]
    assert loaded.train.class_names == ("low", "high")
    assert loaded.train.y[:4].tolist() == [0, 1, 0, 1]
    assert loaded.train.attribute[:4].tolist() == [0, 0, 1, 1]
    assert loaded.name == "mine"
    # [CLS] so bad, [SEP] and so many words as the row's number modulo 9.
    assert loaded.train.inputs.lengths is not None
    assert loaded.train.inputs.lengths[:4].tolist() == [5, 6, 7, 8]


def test_rows_are_dealt_within_groups(tmp_path: Path) -> None:
    loaded = data.load(write(tmp_path, TOML + "fractions = [0.5, 0.25, 0.25]\nseed = 3\n"))
    assert [count.tolist() for count in loaded.count_G.values()] == [[15] * 4, [8] * 4, [7] * 4]


def test_an_id_stays_in_one_part(tmp_path: Path) -> None:
    path = write(tmp_path, TOML + 'id = "author"\n')
    loaded = data.load(path)
    assert loaded.count_G["train"].tolist() == [18] * 4  # each author wrote one row of each group
    torn = write(tmp_path, TOML + 'id = "author"\nsplit = "part"\n', [*table(), "hello,reply 0,low,a,author0,test"])
    with pytest.raises(BadInput, match=r"said\.csv, line 122: author 'author0' is in test here and in train elsewhere"):
        data.load(torn)


def test_pairs(tmp_path: Path) -> None:
    loaded = data.load(write(tmp_path, TOML + 'text_pair = "reply"\n'))
    x = loaded.train.inputs.take(torch.arange(10))
    assert x[:, 2].sum(1).tolist() == [3] * 10  # reply, its number, [SEP]


def test_options_go_before_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, TOML + "max_length = 6\n[training]\nepochs = 2\n")
    loaded, longer = data.load(path), data.load(path, max_length=9)
    assert loaded.train.inputs.lengths is not None
    assert longer.train.inputs.lengths is not None
    assert (int(loaded.train.inputs.lengths.max()), int(longer.train.inputs.lengths.max())) == (6, 9)
    assert (loaded.options, longer.options) == ({}, {"max_length": 9})
    assert loaded.fingerprint != longer.fingerprint
    assert (loaded.recommended["epochs"], loaded.recommended["encoder"]) == (2, "text_mean")


def test_whatever_is_read_differently_is_other_data(tmp_path: Path) -> None:
    variants = [TOML, TOML + 'text_pair = "reply"\n', TOML + "seed = 1\n", TOML.replace('["who"]', "[]")]
    prints = [data.load(write(tmp_path, toml)).fingerprint for toml in variants]
    prints.append(
        data.load(write(tmp_path, TOML, [line.replace("so good", "so nice") for line in table()])).fingerprint
    )
    assert len(set(prints)) == 5
    assert data.load(write(tmp_path)).fingerprint == prints[0]


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        (TOML + 'features = ["reply"]\n', r"mine\.toml: features has no meaning beside 'text'"),
        (TOML + 'text_pair = "said"\n', r"text and text_pair must be columns of their own"),
        (TOML.replace('text = "said"', 'text = "sad"'), r"unknown column of .*said\.csv 'sad'; did you mean 'said'"),
        (TOML + 'id = "autor"\n', r"unknown column of .*said\.csv 'autor'; did you mean 'author'"),
        (TOML + "max_length = 1\n", r"max_length must be at least 4"),
        (TOML + "maxlength = 9\n", r"unknown option of the description 'maxlength'; did you mean 'max_length'"),
    ],
)
def test_wrong_descriptions(tmp_path: Path, toml: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        data.load(write(tmp_path, toml))


def test_missing_texts(tmp_path: Path) -> None:
    lines = table()
    lines[3] = '"",' + lines[3].partition('",')[2]
    with pytest.raises(BadInput, match=r"said\.csv, line 4: said is missing \(1 of 120 rows\)"):
        data.load(write(tmp_path, TOML, lines))
    with pytest.raises(
        BadInput, match=r"said\.csv, line 4: said is missing \(1 of 120 rows\); choose missing = 'drop'"
    ):
        data.load(write(tmp_path, TOML + 'missing = "indicate"\n', lines))
    dropped = data.load(write(tmp_path, TOML + 'missing = "drop"\n', lines))
    assert sum(int(count.sum()) for count in dropped.count_G.values()) == 119


def test_check_says_what_is_wrong(tmp_path: Path) -> None:
    assert data.open_set(write(tmp_path)).check(None) == []
    (difference,) = data.open_set(write(tmp_path, TOML, ["said,mood,who", "hello,low,a"])).check(None)
    assert "the label 'mood'" in difference


def test_text_without_a_file() -> None:
    with pytest.raises(BadInput, match="give the path of the TOML file that describes them"):
        data.load("text")


def test_another_tokenizer_recommends_its_own_model(tmp_path: Path) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "so", "good", "bad"]
    transformers.BertTokenizer(vocab={word: k for k, word in enumerate(words)}).save_pretrained(tmp_path / "model")
    shape = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    transformers.BertModel(transformers.BertConfig(vocab_size=8, **shape)).save_pretrained(tmp_path / "model")
    loaded = data.load(write(tmp_path), tokenizer=str(tmp_path / "model"))
    assert loaded.recommended["encoder"] == f"hf:{tmp_path / 'model'}"
    assert loaded.recommended["weights"] == "pretrained"
    _, settings, _ = resolve(Plan("erm"), loaded)
    pretrained = transformers.BertModel.from_pretrained(tmp_path / "model").state_dict()
    found: Any = new_model(settings, loaded).encoder
    assert torch.equal(
        found.transformer.embeddings.word_embeddings.weight, pretrained["embeddings.word_embeddings.weight"]
    )


# Training

breaks_at: dict[str, int] = {}


@dataclass(frozen=True)
class Breaking(Method):
    """Plain training that stops with an error at a chosen batch."""

    def batches(self, split: Split, state: State, size: int, rng: Generator) -> Iterator[Tensor]:
        return super().batches(split, state, size, rng)

    def loss(self, batch: Batch, model: Model, state: State) -> Tensor:
        breaks_at["batch"] = breaks_at.get("batch", 0) - 1
        if breaks_at["batch"] == 0:
            raise InterruptedError
        return cross_entropy(model(batch.x), batch.y).mean()


TINY_BERT = {"encoder": "bert", "widths": (16, 2, 2, 32), "lr": 3e-3}


@pytest.mark.parametrize("chosen", [{}, TINY_BERT], ids=["text_mean", "bert"])
def test_a_broken_training_continues_bit_for_bit(tmp_path: Path, chosen: dict[str, Any]) -> None:
    loaded = data.load(write(tmp_path))
    _, settings, _ = resolve(Plan("erm", settings={**chosen, "epochs": 3, "batch_size": 16, "device": "cpu"}), loaded)

    def train(name: str) -> dict[str, Tensor]:
        torch.manual_seed(0)
        model = new_model(settings, loaded)
        file = tmp_path / f"{name}.pt"
        fit(model, Breaking(), loaded.train, loaded.val, settings, checkpoint=file, checkpoint_every=0)
        return model.state_dict()

    breaks_at["batch"] = 0
    whole = train("whole")
    for batch in (3, 7):  # in the first epoch and, continued, in the second
        breaks_at["batch"] = batch
        with pytest.raises(InterruptedError):
            train("broken")
    breaks_at["batch"] = 0
    continued = train("broken")
    assert all(torch.equal(continued[name], value) for name, value in whole.items())


def test_a_tiny_bert_learns_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from evenhand.cli import main

    path = write(tmp_path, TOML + 'split = "part"\n', table(1000))
    out, result = tmp_path / "runs", tmp_path / "result.json"
    options = ["--set", "encoder=bert", "--set", "widths=16,1,2,16", "--set", "lr=0.01", "--set", "batch_size=16"]
    arguments = ["train", path, "--method", "groupdro", "--epochs", "1", "--out", str(out), *options]
    assert main([*arguments, "--json", str(result)]) == 0
    capsys.readouterr()
    assert json.loads(result.read_text())["test"]["accuracy"] > 0.9
