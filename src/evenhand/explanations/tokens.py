"""Which words of a text a model's decision comes from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from evenhand import data as data_sets
from evenhand.batch import RowsOf, Split
from evenhand.data import CHANGES
from evenhand.data._base import default_root
from evenhand.errors import BadInput
from evenhand.explanations.gradients import check_installed, integrated
from evenhand.explanations.halves import replaced
from evenhand.inputs import tokenizing
from evenhand.inputs.text import TextInputs
from evenhand.model import Model

ROWS = 16  # texts explained at a time
BETWEEN = "|"  # the two texts of a pair

Text = tuple[str, str | None]  # a text, and the second one of a pair


@dataclass(frozen=True)
class Tokens:
    """What each word of a text adds to the logit of the target class.

    Attributes:
        row: where in the split.
        words: as the text has them, marks of punctuation by themselves; `|` stands between the texts of a pair. Words
            beyond the longest length were cut off before the model saw them, and are not here.
        scores: one for each word, in units of the logit; negative speaks against the class.
        target: the class whose logit is explained.
        difference: the logit less that of the text without words: what the scores add up to, but for `error`.
        error: by how much they miss it.
    """

    row: int
    words: tuple[str, ...]
    scores: tuple[float, ...]
    target: int
    difference: float
    error: float


def attribute(
    model: Model, split: Split, rows: Sequence[int], targets: Sequence[int], texts: Sequence[Text]
) -> list[Tokens]:
    """What each word adds to the target's logit, by integrated gradients from a text without words.

    Sundararajan, Taly and Yan (2017), Axiomatic attribution for deep networks, equation 1 and Section 6.3, by captum:
    from word vectors of 0 to those of the text. Special tokens and positions stay as they are on the way, so that the
    words alone answer for the difference. Scores of the pieces of a word are summed:

        score of a token = sum over dimensions of vector * mean over t in [0, 1] of d logit(t vector) / d vector
        sum of scores    ≈ logit(text) - logit(without words)

    Args:
        targets: a class for each of the rows.
        texts: of these rows, see `texts_of`.

    Raises:
        BadInput: the rows are no texts, `texts` or `targets` are not theirs, the model has no word vectors, or captum
            is not installed.
    """
    check_installed()
    _, inputs = _behind(split, torch.arange(0))
    if not len(rows) == len(targets) == len(texts):
        raise BadInput(
            f"every row needs a target class and a text, got {len(rows)} rows, {len(targets)} targets and "
            f"{len(texts)} texts"
        )
    asked = [_Asked(*each) for each in zip(rows, targets, texts, strict=True)]
    order = sorted(range(len(asked)), key=lambda place: len(asked[place].text[0]))  # beside others of their length
    found: dict[int, Tokens] = {}
    with model.evaluating():
        for start in range(0, len(order), ROWS):
            chosen = order[start : start + ROWS]
            made = _together(model, split, inputs, [asked[place] for place in chosen])
            found |= dict(zip(chosen, made, strict=True))
    return [found[place] for place in range(len(asked))]


class _Asked(NamedTuple):
    row: int
    target: int
    text: Text


class _Piece(NamedTuple):
    """A token: which text of a pair it is in, which word there it belongs to, and from where to where it goes."""

    sequence: int
    word: int
    alone: bool
    start: int
    end: int


def texts_of(
    name: str, split: Split, rows: Iterable[int], *, root: str | Path | None = None, **options: Any
) -> list[Text]:
    """The texts of some rows of a split, which keeps token ids only.

    Args:
        name, root, options: by which its data were loaded.

    Raises:
        BadInput: the data are not texts, or their files are no longer there.
    """
    from evenhand.data._text_set import TextSet

    data_set = data_sets.open_set(name, **{key: value for key, value in options.items() if key not in CHANGES})
    if not isinstance(data_set, TextSet):
        raise BadInput(f"words can be explained of texts only, and {name} is not a data set of texts")
    where_B, _ = _behind(split, torch.tensor(list(rows), dtype=torch.long))
    listing = data_set.listing(default_root(root))
    return [(listing.texts[at], listing.pairs[at] if listing.pairs is not None else None) for at in where_B.tolist()]


def _behind(split: Split, rows_B: Tensor) -> tuple[Tensor, TextInputs]:
    """(B,) which of all texts the rows are, and the inputs that hold them."""
    inputs: Any = split.inputs
    while isinstance(inputs, RowsOf):
        rows_B, inputs = inputs.index[rows_B], inputs.inputs
    if not isinstance(inputs, TextInputs):
        raise BadInput("words can be explained of texts only, and these rows are not texts")
    return rows_B if inputs.index is None else inputs.index[rows_B], inputs


def _vectors(model: Model) -> nn.Module:
    """The layer that turns token ids into word vectors."""
    for module in model.encoder.modules():
        if hasattr(module, "get_input_embeddings"):
            found: nn.Module = module.get_input_embeddings()  # type: ignore[operator]  # of the library transformers
            return found
    for module in model.encoder.modules():
        if isinstance(module, nn.Embedding):
            return module
    raise BadInput("words can be explained of encoders with word vectors, and this one has none")


def _together(model: Model, split: Split, inputs: TextInputs, asked: list[_Asked]) -> list[Tokens]:
    """Of rows that go through the model together."""
    device, vectors = model.classifier.weight.device, _vectors(model)
    x = split.inputs.take(torch.tensor([each.row for each in asked])).to(device)
    pieces = _pieces(inputs, [each.text for each in asked])
    is_word_BL = torch.zeros(x[:, 0].shape, dtype=torch.bool)
    for place, length in enumerate(x[:, 1].sum(1).tolist()):
        if len(pieces[place]) not in (length, 0):
            raise BadInput(
                f"the text given for row {asked[place].row} has {len(pieces[place])} tokens, but the row has {length}"
            )
        is_word_BL[place, : len(pieces[place])] = torch.tensor([piece is not None for piece in pieces[place]])
    with torch.no_grad():
        given_BLE = vectors(x[:, 0])
    baseline_BLE = given_BLE.masked_fill(is_word_BL.to(device)[..., None], 0)

    def forward(vectors_BLE: Tensor, x: Tensor) -> Tensor:
        with replaced(vectors, lambda _: vectors_BLE):
            logits: Tensor = model(x)
        return logits

    targets_B = torch.tensor([each.target for each in asked], device=device)
    made = integrated(forward, given_BLE, baseline_BLE, targets_B, x)
    scores, difference, error = (each.tolist() for each in (made.scores.sum(2), made.difference_B, made.error_B))
    return [
        Tokens(each.row, *_joined(pieces[k], scores[k], each.text), each.target, difference[k], error[k])
        for k, each in enumerate(asked)
    ]


def _pieces(inputs: TextInputs, texts: list[Text]) -> list[list[_Piece | None]]:
    """For each token of each text which word it is a piece of; None for special ones."""
    tokens = inputs.tokens
    how = tokenizing.Tokenizing(tokens.tokenizer, tokens.max_length, max(tokens.vocabulary, 5))
    first = [text for text, _ in texts]
    second = [str(pair) for _, pair in texts] if any(pair is not None for _, pair in texts) else None
    return [
        [
            None if special else _Piece(sequence or 0, at if word is None else word, word is None, *span)
            for at, (special, sequence, word, span) in enumerate(
                zip(each.special_tokens_mask, each.sequence_ids, each.word_ids, each.offsets, strict=True)
            )
        ]
        for each in tokenizing.placed(first, how, pairs=second)
    ]


def _joined(pieces: list[_Piece | None], scores: list[float], text: Text) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Words as the text has them, with the sums of their pieces' scores."""
    spans: dict[tuple[int, int, bool], tuple[int, int, float]] = {}
    for piece, score in zip(pieces, scores, strict=False):
        if piece is not None:
            key = (piece.sequence, piece.word, piece.alone)
            start, end, before = spans.get(key, (piece.start, piece.end, 0.0))
            spans[key] = (min(start, piece.start), max(end, piece.end), before + score)
    words, sums, last = [], [], 0
    for (sequence, _, _), (start, end, total) in spans.items():
        if sequence > last:
            words.append(BETWEEN)
            sums.append(0.0)
            last = sequence
        words.append((text[sequence] or "")[start:end].strip())
        sums.append(total)
    return tuple(words), tuple(sums)
