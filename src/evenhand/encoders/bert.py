"""BERT, of any size."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from evenhand.encoders.hf import POOLS, from_config, hf
from evenhand.encoders.text_mean import require_texts
from evenhand.errors import BadInput, unknown
from evenhand.inputs import hub
from evenhand.inputs.text import padded

BASE = (768, 12, 12, 3072)
PUBLISHED = "bert-base-uncased"


def bert(
    shape: tuple[int, ...],
    widths: Sequence[int] = BASE,
    *,
    vocabulary: int = 30_522,
    max_length: int = 512,
    weights: str = "none",
    tokenizer: str = "",
    pad: int = 0,
    pool: str = "cls",
) -> tuple[nn.Module, int]:
    """A transformer encoder; Devlin et al. (2019), BERT: pre-training of deep bidirectional transformers.

    Rows come as (3, L) int64: token ids, attention mask, segment ids.

    Args:
        widths: hidden width, layers, attention heads and width between the linear layers of a block; one or two
            numbers give hidden width and layers, with heads of 64 and 4 times the width between. The default is
            BERT-base; 128,2 is the tiny one of Turc et al. (2019), Well-read students learn better.
        vocabulary: how many different token ids there are.
        max_length: most tokens of a text.
        weights: `none` (random), `pretrained` (those of bert-base-uncased), or the path of a file or a finished run.
        tokenizer: by which the texts were tokenised, to refuse weights that were trained with another one.
        pad: id of the token that fills a row up.
        pool: how features come from the last layer, see `hf`.

    Raises:
        BadInput: rows are not texts, widths that do not fit, or see `hf`.
    """
    require_texts("bert", shape)
    if weights == "pretrained":
        if tuple(widths) != BASE:
            raise BadInput(f"the published weights of the encoder bert have widths {BASE}, got {tuple(widths)}")
        return hf(
            shape, PUBLISHED, weights=weights, vocabulary=vocabulary, max_length=max_length, tokenizer=tokenizer,
            pad=pad, pool=pool,
        )  # fmt: skip
    if pool not in POOLS:
        raise unknown("pool of the encoder bert", pool, POOLS)
    hidden, layers, heads, between = full(widths)
    if hidden % heads:
        raise BadInput(
            f"the hidden width of the encoder bert must be a multiple of its heads, got {hidden} and {heads}"
        )
    transformers = hub.library("transformers", "the encoder bert")
    config = transformers.BertConfig(
        vocab_size=vocabulary, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
        intermediate_size=between, max_position_embeddings=max(512, padded(max_length)), pad_token_id=pad,
    )  # fmt: skip
    return from_config(config, pool, weights, "bert"), hidden


def full(widths: Sequence[int]) -> tuple[int, int, int, int]:
    """Hidden width, layers, heads and the width between, the last ones by the rule of BERT where not given."""
    if not 1 <= len(widths) <= 4:
        raise BadInput(f"the encoder bert takes hidden width, layers, heads, intermediate width; got {tuple(widths)}")
    hidden = widths[0]
    rule = (hidden, 2, max(1, hidden // 64), 4 * hidden)
    hidden, layers, heads, between = (*widths, *rule[len(widths) :])
    return hidden, layers, heads, between
