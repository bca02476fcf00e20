"""Any text model of the Hugging Face hub, by name or from a folder."""

from __future__ import annotations

from functools import partial
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from evenhand.encoders._weights import is_path, load, on_meta
from evenhand.encoders.text_mean import masked_mean, require_texts
from evenhand.errors import BadInput, unknown
from evenhand.inputs import hub
from evenhand.inputs.text import MULTIPLE, WORDS, padded

POOLS = ("cls", "mean", "pooler")


def hf(
    shape: tuple[int, ...],
    item: str = "",
    *,
    weights: str = "none",
    vocabulary: int | None = None,
    max_length: int | None = None,
    tokenizer: str = "",
    pad: int = 0,
    pool: str = "cls",
) -> tuple[nn.Module, int]:
    """The transformer `item` (asked for as `hf:item`): an encoder, or a decoder, whose last hidden states are pooled.

    Rows come as (3, L) int64: token ids, attention mask, segment ids. No code that lies beside the weights is executed.

    Args:
        item: name on the Hugging Face hub or local folder; `?pool=mean` after it chooses how to pool.
        weights: `none` takes the architecture of `item` with random weights and the vocabulary of the data;
            `pretrained` its weights; the path of a file or of a finished run those in it.
        vocabulary: how many different token ids the data have.
        max_length: most tokens of a text.
        tokenizer: by which the texts were tokenised, to refuse weights that were trained with another one.
        pad: id of the token that fills a row up.
        pool: `cls` is the first token's hidden state, which for a decoder has seen no other; `mean` that of all tokens;
            `pooler` what the model's own pooler makes of the first token's.

    Raises:
        BadInput: rows are not texts, there is no such model, it does not fit the texts, or it has no such pool.
    """
    require_texts("hf", shape)
    item, _, query = item.partition("?")
    pool = query.removeprefix("pool=") if query else pool
    if not item:
        raise BadInput("the encoder hf needs a model: hf:NAME of the Hugging Face hub, or hf:FOLDER")
    if pool not in POOLS:
        raise unknown("pool of the encoder hf", pool, POOLS)
    config = _config(item)
    if weights != "pretrained":
        config.update({"vocab_size": vocabulary or config.vocab_size, "pad_token_id": pad})
    elif tokenizer == WORDS or (vocabulary or 0) > config.vocab_size:
        raise BadInput(
            f"the weights of hf:{item} belong to a tokenizer of their own with {config.vocab_size} tokens, but the "
            f"texts were tokenised by {tokenizer or 'one'} with {vocabulary}; choose tokenizer={item} for the data"
        )
    check_length(f"hf:{item}", config, max_length)
    if weights != "pretrained" or on_meta():
        return from_config(config, pool, weights, f"hf:{item}"), config.hidden_size
    fetch = partial(class_of(config).from_pretrained, config=config, dtype=torch.float32, **_pooling(config, pool))
    return _Pooled(hub.found(fetch, item, "weights of a model"), pool), config.hidden_size


def from_config(config: Any, pool: str, weights: str, name: str) -> nn.Module:
    """The model of this configuration, with random weights or those of a file; BadInput if it has no such pool."""
    model = _Pooled(class_of(config)(config, **_pooling(config, pool)), pool)
    if is_path(weights):
        load(model, weights, name)
    return model


class _Pooled(nn.Module):
    """A transformer's last hidden states, pooled to one vector for each text."""

    def __init__(self, transformer: nn.Module, pool: str) -> None:
        super().__init__()
        self.transformer, self.pool = transformer, pool
        config: Any = transformer.config
        config.use_cache = False
        known = signature(transformer.forward).parameters
        # Elsewhere the argument means something else, or there are no embeddings of a second segment.
        self.segments = "token_type_ids" in known and (getattr(config, "type_vocab_size", 0) or 0) > 1

    def forward(self, x: Tensor) -> Tensor:
        ids_BL, mask_BL, segment_BL = x.unbind(1)
        segments = {"token_type_ids": segment_BL} if self.segments else {}
        found = self.transformer(input_ids=ids_BL, attention_mask=mask_BL, **segments)
        if self.pool == "pooler":
            pooled_BD: Tensor = found.pooler_output
            return pooled_BD
        hidden_BLD: Tensor = found.last_hidden_state
        return hidden_BLD[:, 0] if self.pool == "cls" else masked_mean(hidden_BLD, mask_BL)


def _config(item: str) -> Any:
    """The configuration of a model of texts that is an encoder or a decoder alone."""
    transformers = hub.library("transformers", f"the encoder hf:{item}")
    load = partial(transformers.AutoConfig.from_pretrained, trust_remote_code=False)
    config = hub.found(load, item, "configuration of a model")
    if config.is_encoder_decoder or not hasattr(config, "vocab_size") or not hasattr(config, "hidden_size"):
        raise BadInput(
            f"hf:{item} must be a model of texts that is an encoder or a decoder alone, but is of the kind "
            f"{config.model_type!r}"
        )
    return config


def class_of(config: Any) -> Any:
    """The class of the bare transformer of this configuration."""
    mapping = hub.library("transformers", "the encoder hf").MODEL_MAPPING
    if type(config) not in mapping:
        raise BadInput(f"the library transformers has no bare transformer of the kind {config.model_type!r}")
    found = mapping[type(config)]
    return found[0] if isinstance(found, tuple | list) else found


def check_length(encoder: str, config: Any, max_length: int | None) -> None:
    """Raise BadInput if padded texts may be longer than the model has positions for."""
    positions = getattr(config, "max_position_embeddings", None)
    if positions and max_length and padded(max_length) > positions // MULTIPLE * MULTIPLE:
        raise BadInput(
            f"the encoder {encoder} takes texts of at most {positions // MULTIPLE * MULTIPLE} tokens, "
            f"got max_length={max_length}"
        )


def _pooling(config: Any, pool: str) -> dict[str, bool]:
    """The argument that builds a model with or without its pooler; BadInput if it should have one and has none."""
    if "add_pooling_layer" in signature(class_of(config).__init__).parameters:
        return {"add_pooling_layer": pool == "pooler"}
    if pool == "pooler":
        raise BadInput(f"models of the kind {config.model_type!r} have no pooler; choose the pool cls or mean")
    return {}
