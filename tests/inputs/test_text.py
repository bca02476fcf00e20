"""Texts as tokens: padded by the batch, in batches of similar length, tokenised once."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Generator, Tensor

tokenizers = pytest.importorskip("tokenizers", reason="the extra evenhand[text] is not installed")

from evenhand import evaluation  # noqa: E402
from evenhand.batch import RowsOf, Split  # noqa: E402
from evenhand.errors import BadInput  # noqa: E402
from evenhand.inputs import hub  # noqa: E402
from evenhand.inputs.text import TextInputs, Tokens  # noqa: E402
from evenhand.inputs.tokenizing import Tokenizing, tokenised  # noqa: E402
from evenhand.methods import make  # noqa: E402
from evenhand.methods._base import State  # noqa: E402
from evenhand.model import Model  # noqa: E402

PAD, UNKNOWN, FIRST, LAST = range(4)


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("EVENHAND_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def tokens_of(rows: list[list[int]], *, second: list[list[int]] | None = None, pad: int = 0) -> Tokens:
    return Tokens(
        ids=torch.tensor([token for row in rows for token in row], dtype=torch.int32),
        offsets=torch.tensor([0, *(len(row) for row in rows)]).cumsum(0),
        segments=None if second is None else torch.tensor([s for row in second for s in row], dtype=torch.uint8),
        pad=pad,
        vocabulary=100,
        tokenizer="words",
        max_length=64,
    )


def slow_take(rows: list[list[int]], second: list[list[int]], chosen: list[int], pad: int) -> list[list[list[int]]]:
    """Row by row: ids, mask and segments, padded to a multiple of 8."""
    width = max(len(rows[row]) for row in chosen)
    while width % 8:
        width += 1
    found = []
    for row in chosen:
        gap = width - len(rows[row])
        found.append([rows[row] + [pad] * gap, [1] * len(rows[row]) + [0] * gap, second[row] + [0] * gap])
    return found


def everything(texts: list[str]) -> np.ndarray:
    return np.ones(len(texts), dtype=bool)


def ids(tokens: Tokens) -> list[list[int]]:
    return [part.tolist() for part in torch.split(tokens.ids, tokens.offsets.diff().tolist())]


# Batches


@given(st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=20), min_size=1, max_size=12), st.data())
def test_take_is_what_row_by_row_padding_gives(rows: list[list[int]], drawn: st.DataObject) -> None:
    second = [[int(k > len(row) // 2) for k in range(len(row))] for row in rows]
    pad = drawn.draw(st.integers(0, 99))
    chosen = drawn.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=9))
    inputs = TextInputs(tokens_of(rows, second=second, pad=pad))
    found = inputs.take(torch.tensor(chosen))
    assert found.dtype == torch.int64
    assert found.tolist() == slow_take(rows, second, chosen, pad)
    # The same through an index, as the rows of one part of the data.
    order = torch.arange(len(rows)).flip(0)
    through = replace(inputs, index=order).take(len(rows) - 1 - torch.tensor(chosen))
    assert torch.equal(found, through)


def test_no_rows_and_one_token() -> None:
    inputs = TextInputs(tokens_of([[5], [6, 7]]))
    assert inputs.take(torch.zeros(0, dtype=torch.int64)).shape == (0, 3, 8)
    assert inputs.take(torch.tensor([0])).tolist() == [[[5] + [0] * 7, [1] + [0] * 7, [0] * 8]]


def test_lengths_and_what_encoders_are_told_survive_a_choice_of_rows() -> None:
    inputs = TextInputs(tokens_of([[1] * k for k in (3, 9, 1, 5)]), torch.tensor([3, 0, 1]))
    assert (len(inputs), inputs.lengths.tolist()) == (3, [5, 3, 9])
    chosen = RowsOf(inputs, torch.tensor([2]))
    assert chosen.lengths is not None
    assert chosen.lengths.tolist() == [9]
    assert chosen.encoder_options == inputs.encoder_options
    assert inputs.encoder_options["vocabulary"] == 100
    assert inputs.encoder_options["pairs"] is False


def corpus(n_rows: int = 3000) -> Split:
    """Texts of very different lengths, each of one token all over: its row."""
    length = torch.randint(1, 60, (n_rows,), generator=Generator().manual_seed(0)).tolist()
    rows = [[row] * length[row] for row in range(n_rows)]
    y = torch.arange(n_rows) % 2
    return Split(TextInputs(tokens_of(rows)), y, 2, y[:, None], (2,))


def epoch(split: Split, seed: int) -> list[Tensor]:
    return list(make("erm").batches(split, State(), 20, Generator().manual_seed(seed)))


def test_an_epoch_has_every_row_once_in_an_order_that_follows_the_seed() -> None:
    split = corpus()
    first, again, other = (epoch(split, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.cat(first).sort().values, torch.arange(len(split)))
    assert torch.equal(torch.cat(first), torch.cat(again))
    assert not torch.equal(torch.cat(first), torch.cat(other))


def test_batches_of_similar_length_save_most_of_the_padding() -> None:
    split = corpus()
    assert split.inputs.lengths is not None
    needed = int(split.inputs.lengths.sum())

    def padding(batches: list[Tensor]) -> float:
        return sum(split.inputs.take(rows)[:, 0].numel() for rows in batches) / needed - 1

    plain = list(torch.split(torch.randperm(len(split), generator=Generator().manual_seed(0)), 20))
    assert padding(plain) > 0.8
    assert padding(epoch(split, 0)) < 0.25
    # Not sorted as a whole: long and short batches come in turns.
    width = torch.tensor([split.inputs.take(rows).shape[2] for rows in epoch(split, 0)], dtype=torch.float64)
    assert abs(torch.corrcoef(torch.stack((torch.arange(len(width)), width)))[0, 1]) < 0.3


class _Ids(torch.nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, 0, :1].double()


def test_predictions_are_in_the_order_of_the_rows() -> None:
    split = corpus(500)
    model = Model(_Ids(), torch.nn.Linear(1, 2, bias=False).double())
    with torch.no_grad():
        model.classifier.weight.copy_(torch.tensor([[1.0], [2.0]]))
    rows = torch.arange(500.0)
    assert torch.equal(evaluation.predict(model, split), torch.stack((rows, 2 * rows), 1))


# Words


def test_words_are_learned_on_the_training_texts_alone() -> None:
    texts = ["the good Film", "the BAD film!", "a terrible film"]
    tokens = tokenised(texts, np.array([True, True, False]), Tokenizing())
    film, the, mark, bad, good = 4, 5, 6, 7, 8  # most frequent first, then by the alphabet
    assert ids(tokens) == [
        [FIRST, the, good, film, LAST],
        [FIRST, the, bad, film, mark, LAST],
        [FIRST, 1, 1, film, LAST],
    ]
    assert (tokens.vocabulary, tokens.pad, tokens.segments) == (9, PAD, None)


def test_a_small_vocabulary_keeps_the_most_frequent_words() -> None:
    tokens = tokenised(["a a a b b c"], everything(["a"]), Tokenizing(vocabulary=6))
    assert ids(tokens) == [[FIRST, 4, 4, 4, 5, 5, UNKNOWN, LAST]]


def test_pairs_have_segments_and_the_longer_text_is_cut_first() -> None:
    how = Tokenizing(max_length=8)
    tokens = tokenised(["a b c d e f", "a"], everything(["", ""]), how, pairs=["a b", "b"])
    assert tokens.segments is not None
    assert tokens.offsets.tolist() == [0, 8, 13]
    assert tokens.segments.tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1]


def test_an_empty_text_is_one_that_can_be_delivered() -> None:
    tokens = tokenised(["", "word"], everything(["", ""]), Tokenizing())
    assert TextInputs(tokens).take(torch.tensor([0]))[0, 1].sum() == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_length": 3}, "max_length must be at least 4 tokens, got 3"),
        ({"vocabulary": 4}, "vocabulary must be more than the 4 special tokens, got 4"),
        ({"tokenizer": ""}, "tokenizer must be `words`, or name one"),
    ],
)
def test_options_out_of_range(options: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Tokenizing(**options)  # type: ignore[arg-type]


# The cache


def files(cache: Path) -> list[Path]:
    return sorted(cache.glob("*.safetensors"))


def test_texts_are_tokenised_once(cache: Path) -> None:
    texts = ["one two", "three"]
    tokenised(texts, everything(texts), Tokenizing())
    (file,) = files(cache)
    written = file.stat().st_mtime_ns
    assert ids(tokenised(texts, everything(texts), Tokenizing())) == [[2, 4, 6, 3], [2, 5, 3]]
    assert [each.stat().st_mtime_ns for each in files(cache)] == [written]


def test_whatever_changes_tokens_has_a_file_of_its_own(cache: Path) -> None:
    texts, train = ["one two", "three"], np.array([True, True])
    variants = [
        (texts, train, Tokenizing(), None),
        (["one", "twothree"], train, Tokenizing(), None),
        (["one twothree", ""], train, Tokenizing(), None),
        (texts, np.array([True, False]), Tokenizing(), None),
        (texts, train, Tokenizing(max_length=5), None),
        (texts, train, Tokenizing(vocabulary=5), None),
        (texts, train, Tokenizing(), ["four", "five"]),
    ]
    for number, (chosen, which, how, pairs) in enumerate(variants, 1):
        tokenised(chosen, which, how, pairs=pairs)
        assert len(files(cache)) == number


def test_a_damaged_file_is_made_anew(cache: Path) -> None:
    texts = ["one two", "three"]
    wanted = ids(tokenised(texts, everything(texts), Tokenizing()))
    (file,) = files(cache)
    for content in (b"", b"nonsense", file.read_bytes()[:-3]):
        file.write_bytes(content)
        assert ids(tokenised(texts, everything(texts), Tokenizing())) == wanted


def test_tokens_are_mapped_not_read(cache: Path) -> None:
    texts = [f"word{k}" for k in range(2000)]
    tokens = tokenised(texts, everything(texts), Tokenizing())
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("this system does not list what is mapped")
    assert files(cache)[0].name in maps.read_text()
    assert len(tokens) == 2000


def _in_a_process(folder: str) -> list[list[int]]:
    os.environ["EVENHAND_CACHE"] = folder
    texts = [f"text number {k}" for k in range(3000)]
    return ids(tokenised(texts, everything(texts), Tokenizing()))


def test_processes_at_once_agree_and_leave_one_file(cache: Path) -> None:
    quick = get_context("fork" if sys.platform == "linux" else "forkserver")
    with ProcessPoolExecutor(2, mp_context=quick) as pool:
        first, second = pool.map(_in_a_process, [str(cache)] * 2)
    assert first == second
    assert len(files(cache)) == 1
    assert not [path for path in cache.iterdir() if path.suffix == ".tmp"]


def test_a_cache_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("EVENHAND_CACHE", str(tmp_path / "file"))
    with pytest.raises(BadInput, match=r"cannot keep tokens in the cache folder .*file.*EVENHAND_CACHE"):
        tokenised(["a"], everything(["a"]), Tokenizing())


# Tokenizers of the hub


def word_pieces(folder: Path, words: list[str]) -> str:
    transformers = pytest.importorskip("transformers")
    folder.mkdir()
    vocabulary = {word: k for k, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words])}
    transformers.BertTokenizer(vocab=vocabulary).save_pretrained(folder)
    return str(folder)


def test_a_tokenizer_in_a_folder(tmp_path: Path) -> None:
    folder = word_pieces(tmp_path / "pieces", ["film", "good", "##er", "bad"])
    texts = ["Gooder film", "bad music"]
    tokens = tokenised(texts, everything(texts), Tokenizing(folder))
    assert ids(tokens) == [[2, 6, 7, 5, 3], [2, 8, 1, 3]]
    assert (tokens.vocabulary, tokens.pad, tokens.segments) == (9, 0, None)
    pairs = tokenised(texts, everything(texts), Tokenizing(folder, max_length=6), pairs=["good", "film film film film"])
    assert pairs.segments is not None
    assert ids(pairs) == [[2, 6, 7, 3, 6, 3], [2, 8, 3, 5, 5, 3]]
    assert pairs.segments.tolist() == [0, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 1]


def test_another_tokenizer_in_the_same_folder_is_another_one(tmp_path: Path, cache: Path) -> None:
    for number, words in enumerate((["film"], ["music", "film"]), 1):
        folder = word_pieces(tmp_path / f"pieces{number}", words)
        (tmp_path / "same").unlink(missing_ok=True)
        (tmp_path / "same").symlink_to(folder)
        tokens = tokenised(["film"], everything([""]), Tokenizing(str(tmp_path / "same")))
        assert ids(tokens) == [[2, 4 + number, 3]]
        assert len(files(cache)) == number


def test_a_tokenizer_that_is_nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(BadInput, match=r"no folder nobody/none, and no tokenizer 'nobody/none' in the local cache"):
        tokenised(["a"], everything(["a"]), Tokenizing("nobody/none"))
    with pytest.raises(BadInput, match=r"the folder .* holds no tokenizer that can be read"):
        tokenised(["a"], everything(["a"]), Tokenizing(str(tmp_path)))


def test_a_library_that_is_not_installed() -> None:
    with pytest.raises(
        BadInput, match=r"reading texts needs the library no_such_library, .*the extra evenhand\[text\]"
    ):
        hub.library("no_such_library", "reading texts")
