"""Words of a text: they are the reader's, their scores add up to the logit, and the word that decides stands out."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("captum", reason="the extra evenhand[explain] is not installed")
transformers = pytest.importorskip("transformers", reason="the extra evenhand[text] is not installed")

from evenhand import data  # noqa: E402
from evenhand.batch import Split  # noqa: E402
from evenhand.data._base import Data  # noqa: E402
from evenhand.encoders.bert import bert  # noqa: E402
from evenhand.encoders.text_mean import text_mean  # noqa: E402
from evenhand.errors import BadInput  # noqa: E402
from evenhand.explanations import tokens  # noqa: E402
from evenhand.inputs import tokenizing  # noqa: E402
from evenhand.inputs.text import TextInputs  # noqa: E402
from evenhand.inputs.tokenizing import Tokenizing, tokenised  # noqa: E402
from evenhand.model import Model  # noqa: E402

TEXTS = ["So good, I cannot say!", "A bad day", "", "good " * 30, "Unbelievably GOOD"]
REPLIES = ["no", "so it is", "yes yes", "why", ""]


@pytest.fixture(autouse=True)
def _cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EVENHAND_CACHE", str(tmp_path / "cache"))


def split_of(texts: list[str], how: Tokenizing, pairs: list[str] | None = None) -> Split:
    made = tokenised(texts, torch.ones(len(texts), dtype=torch.bool).numpy(), how, pairs=pairs)
    return Split(TextInputs(made), torch.zeros(len(texts), dtype=torch.int64), n_classes=2)


def of_words(pairs: list[str] | None = None) -> tuple[Split, Model]:
    split = split_of(TEXTS, Tokenizing(max_length=12), pairs)
    assert isinstance(split.inputs, TextInputs)
    torch.manual_seed(0)
    encoder, width = text_mean((3, 8), (16, 12), vocabulary=split.inputs.tokens.vocabulary, pairs=pairs is not None)
    return split, Model.linear(encoder, width, 2)


def folder_of_tokenizer(folder: Path) -> str:
    """A tokenizer of pieces of words, as BERT's."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "so", "good", "un", "##bel", "##iev", "##ably", ",", "a"]
    (folder / "tok").mkdir()
    (folder / "tok" / "vocab.txt").write_text("\n".join([*words, "i", "say", "!", "bad", "day", "can", "##not"]))
    transformers.BertTokenizerFast(str(folder / "tok" / "vocab.txt")).save_pretrained(folder / "tok")
    return str(folder / "tok")


def explained(split: Split, model: Model, texts: list[tokens.Text], target: int = 1) -> list[tokens.Tokens]:
    return tokens.attribute(model, split, range(len(texts)), [target] * len(texts), texts)


def single(texts: list[str]) -> list[tokens.Text]:
    return [(text, None) for text in texts]


def test_words_are_those_of_the_text() -> None:
    split, model = of_words()
    found = explained(split, model, single(TEXTS))
    assert found[0].words == ("So", "good", ",", "I", "cannot", "say", "!")
    assert found[2].words == ()
    assert found[3].words == ("good",) * 10  # of 30, which were cut to 12 tokens with the special ones
    assert [each.row for each in found] == [0, 1, 2, 3, 4]


def test_pieces_of_a_word_are_one_word(tmp_path: Path) -> None:
    how = Tokenizing(folder_of_tokenizer(tmp_path), max_length=16)
    split = split_of(TEXTS, how)
    torch.manual_seed(0)
    model = Model.linear(*bert((3, 8), (16, 1, 2, 24), vocabulary=20, max_length=16), 2)
    found = explained(split, model, single(TEXTS))
    assert found[4].words == ("Unbelievably", "GOOD")
    assert found[0].words == ("So", "good", ",", "I", "cannot", "say", "!")
    for each in found:
        assert sum(each.scores) + each.error == pytest.approx(each.difference, abs=1e-5)
        assert abs(each.error) <= 0.01 * max(1, abs(each.difference))


def test_texts_of_a_pair_stand_apart() -> None:
    split, model = of_words(REPLIES)
    found = explained(split, model, list(zip(TEXTS, REPLIES, strict=True)))
    assert found[1].words == ("A", "bad", "day", "|", "so", "it", "is")
    assert found[1].scores[3] == 0
    assert found[2].words == ("|", "yes", "yes")
    assert found[4].words == ("Unbelievably", "GOOD")
    assert sum(found[1].scores) + found[1].error == pytest.approx(found[1].difference, abs=1e-5)


def without_words(model: Model, split: Split, row: int) -> Tensor:
    """Logits of a text whose word vectors are 0, by hand."""
    x = split.inputs.take(torch.tensor([row]))
    encoder = model.encoder
    vectors = encoder.embedding(x[:, 0])
    for place, token in enumerate(x[0, 0].tolist()):
        if token not in (0, 2, 3):  # [PAD], [CLS], [SEP]
            vectors[0, place] = 0
    mask = x[:, 1].float()
    return model.classifier(encoder.layers((vectors * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)))


@torch.no_grad()
def test_scores_add_up_to_the_difference_to_a_text_without_words() -> None:
    split, model = of_words()
    model.classifier.weight.mul_(30)
    for each in explained(split, model, single(TEXTS)):
        x = split.inputs.take(torch.tensor([each.row]))
        expected = float((model(x) - without_words(model, split, each.row))[0, 1])
        assert each.difference == pytest.approx(expected, abs=1e-4)
        assert sum(each.scores) + each.error == pytest.approx(expected, abs=1e-4)
        assert abs(each.error) <= 0.01 * max(1, abs(expected))


def test_scores_are_those_of_captum_on_the_layer_where_padding_is_nothing() -> None:
    from captum.attr import LayerIntegratedGradients

    split, model = of_words()
    embedding = model.encoder.embedding
    assert isinstance(embedding, nn.Embedding)
    with torch.no_grad():
        embedding.weight[0] = 0
    model.eval()
    x = split.inputs.take(torch.tensor([0]))
    nothing = x.clone()
    nothing[:, 0, 1:8] = 0  # seven words between [CLS] and [SEP]
    expected = LayerIntegratedGradients(model, embedding).attribute(x, nothing, target=1, n_steps=50).sum(2)[0, 1:8]
    (found,) = explained(split, model, single(TEXTS[:1]))
    assert found.scores == pytest.approx(expected.tolist(), abs=1e-3)


def test_a_word_that_alone_decides_has_the_whole_score() -> None:
    split, model = of_words()
    assert isinstance(split.inputs, TextInputs)
    good = int(split.inputs.take(torch.tensor([3]))[0, 0, 1])
    with torch.no_grad():
        model.encoder.embedding.weight.zero_()
        model.encoder.embedding.weight[good] = 1
        for layer in model.encoder.layers:
            if isinstance(layer, nn.Linear):
                layer.weight.fill_(0.1)
        model.classifier.weight[1] = 1.0
    found = explained(split, model, single(TEXTS))
    scores = dict(zip(found[0].words, found[0].scores, strict=True))
    assert scores["good"] > 0.05
    assert all(score == 0 for word, score in scores.items() if word != "good")
    assert found[1].scores == (0, 0, 0)


def test_the_order_of_rows_is_kept_whatever_is_explained_together(monkeypatch: pytest.MonkeyPatch) -> None:
    split, model = of_words()
    rows = [3, 0, 4, 1]
    texts = [single(TEXTS)[row] for row in rows]
    together = tokens.attribute(model, split, rows, [0, 1, 0, 1], texts)
    monkeypatch.setattr(tokens, "ROWS", 1)
    apart = tokens.attribute(model, split, rows, [0, 1, 0, 1], texts)
    assert [each.row for each in together] == rows
    for one, other in zip(together, apart, strict=True):
        assert (one.words, one.target) == (other.words, other.target)
        assert one.scores == pytest.approx(other.scores, abs=1e-5)


def own_texts(tmp_path: Path) -> tuple[str, Data]:
    lines = ["said,mood,who", *(f"word{k} {'good' if k % 2 else 'bad'},{k % 2},{'ab'[k // 2 % 2]}" for k in range(60))]
    (tmp_path / "said.csv").write_text("\n".join(lines) + "\n")
    path = tmp_path / "mine.toml"
    path.write_text('path = "said.csv"\ntext = "said"\nlabel = "mood"\nattributes = ["who"]\n')
    return str(path), data.load(str(path))


def test_texts_of_rows_of_a_part_are_found_again(tmp_path: Path) -> None:
    path, loaded = own_texts(tmp_path)
    for split in (loaded.train, loaded.val, loaded.val.subset(torch.tensor([4, 2, 9]))):
        texts = tokens.texts_of(path, split, [2, 0])
        torch.manual_seed(0)
        encoder, width = text_mean((3, 8), (8, 8), vocabulary=200)
        found = tokens.attribute(Model.linear(encoder, width, 2), split, [2, 0], split.y[[2, 0]].tolist(), texts)
        for each, (text, _) in zip(found, texts, strict=True):
            assert each.words == tuple(text.split())
            assert (each.words[1] == "good") == bool(split.y[each.row])


def test_what_cannot_be_explained_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split, model = of_words()
    with pytest.raises(BadInput, match="1 rows, 2 targets and 1 texts"):
        tokens.attribute(model, split, [0], [0, 1], single(TEXTS[:1]))
    with pytest.raises(BadInput, match="the text given for row 0 has 5 tokens, but the row has 9"):
        tokens.attribute(model, split, [0], [0], single(TEXTS[1:2]))
    plain = Split.of(torch.zeros(3, 2), torch.tensor([0, 1, 0]))
    with pytest.raises(BadInput, match="these rows are not texts"):
        tokens.attribute(model, plain, [0], [0], single(TEXTS[:1]))
    with pytest.raises(BadInput, match="digits is not a data set of texts"):
        tokens.texts_of("digits", plain, [0])
    with pytest.raises(BadInput, match="encoders with word vectors"):
        tokens.attribute(Model.linear(nn.Flatten(), 48, 2), split, [1], [0], single(TEXTS[1:2]))
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(BadInput, match=r"evenhand\[explain\]"):
        tokens.attribute(model, split, [0], [0], single(TEXTS[:1]))


def test_a_tokenizer_that_does_not_say_where_tokens_lie_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = Tokenizing(folder_of_tokenizer(tmp_path))
    assert len(tokenizing.placed(["so good"], how)[0]) == 4
    monkeypatch.setattr(type(tokenizing._Pretrained(how).inner), "is_fast", False)
    with pytest.raises(BadInput, match="does not say where"):
        tokenizing.placed(["so good"], how)
