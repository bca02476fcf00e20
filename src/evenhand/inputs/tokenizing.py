"""Texts tokenised once: by any tokenizer of the Hugging Face hub, or by words learned on the training texts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, compress
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from evenhand.errors import BadInput, RunFailed
from evenhand.files import write_atomically
from evenhand.inputs import hub
from evenhand.inputs.cache import cache_folder
from evenhand.inputs.text import WORDS, Tokens

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
AT_ONCE = 4096  # texts handed to a tokenizer
Arrays = dict[str, torch.Tensor]
FORMAT = 1  # raised when the meaning of what is cached changes


@dataclass(frozen=True)
class Tokenizing:
    """How texts become tokens.

    Attributes:
        tokenizer: `words`, or a tokenizer of the Hugging Face hub by its name or a local folder.
        max_length: most tokens of a text, with the special ones; of a pair the longer text is cut first.
        vocabulary: most tokens that `words` learns, with the special ones.
    """

    tokenizer: str = WORDS
    max_length: int = 128
    vocabulary: int = 30_000

    def __post_init__(self) -> None:
        if not self.tokenizer:
            raise BadInput("tokenizer must be `words`, or name one of the Hugging Face hub or a folder, got nothing")
        if self.max_length < 4:
            raise BadInput(f"max_length must be at least 4 tokens, got {self.max_length}")
        if self.vocabulary <= len(SPECIAL):
            raise BadInput(f"vocabulary must be more than the {len(SPECIAL)} special tokens, got {self.vocabulary}")


class Tokenizer(Protocol):
    """Texts in, ids out."""

    vocabulary: int
    pad: int

    def encode(self, texts: Sequence[str], pairs: Sequence[str] | None) -> tuple[list[Any], list[Any]]:
        """Ids and segment ids of each text (or pair); segment ids may be empty where the tokenizer has none."""
        ...


def tokenised(
    texts: Sequence[str], train_N: NDArray[np.bool_], how: Tokenizing, *, pairs: Sequence[str] | None = None
) -> Tokens:
    """The tokens of N texts (with `pairs`, of N pairs of texts), made now or found in the cache folder.

    Args:
        train_N: which texts `words` learns its vocabulary on.

    Raises:
        BadInput: the tokenizer is neither on this machine nor can it be downloaded, or the cache folder has no room.
    """
    if how.tokenizer == WORDS:
        hub.library("tokenizers", "reading texts")
        key = _hash(how, train_N.tobytes(), _joined(texts), _joined(pairs or ()))
        return _cached(key, how, lambda: _flat(_Words(_chosen((texts, pairs or ()), train_N), how), texts, pairs))
    tokenizer = _Pretrained(how)
    key = _hash(how.max_length, tokenizer.identity, _joined(texts), _joined(pairs or ()))
    return _cached(key, how, lambda: _flat(tokenizer, texts, pairs))


def placed(texts: Sequence[str], how: Tokenizing, *, pairs: Sequence[str] | None = None) -> list[Any]:
    """Encodings (of the library tokenizers) of a few texts or pairs, which say where in its text each token lies.

    Ids of `words` are not those of the data, whose words were learned on other texts; everything else is.

    Raises:
        BadInput: as `tokenised`, or the tokenizer does not say it.
    """
    if how.tokenizer == WORDS:
        hub.library("tokenizers", "reading texts")
        fast = _Words([*texts, *(pairs or ())], how).fast
        found: list[Any] = fast.encode_batch(list(texts) if pairs is None else list(zip(texts, pairs, strict=True)))
        return found
    inner = _Pretrained(how).inner
    if not inner.is_fast:
        raise BadInput(f"the tokenizer {how.tokenizer!r} does not say where in a text its tokens lie")
    encoded = inner(
        list(texts), None if pairs is None else list(pairs), truncation=True, max_length=how.max_length, verbose=False
    )
    return list(encoded.encodings or ())


class _Words:
    """Lower-case words and punctuation marks, the most frequent ones first; accents are dropped, as BERT does."""

    def __init__(self, texts: Sequence[str], how: Tokenizing) -> None:
        from tokenizers import Tokenizer as Fast
        from tokenizers import models, normalizers, pre_tokenizers, processors, trainers

        self.fast = Fast(models.WordLevel(unk_token=SPECIAL[1]))
        self.fast.normalizer = normalizers.BertNormalizer(lowercase=True)
        self.fast.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordLevelTrainer(
            vocab_size=how.vocabulary, special_tokens=list(SPECIAL), show_progress=False
        )
        self.fast.train_from_iterator(texts, trainer, length=len(texts))
        self.fast.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
        self.fast.enable_truncation(how.max_length)
        self.vocabulary, self.pad = self.fast.get_vocab_size(), 0

    def encode(self, texts: Sequence[str], pairs: Sequence[str] | None) -> tuple[list[Any], list[Any]]:
        rows = texts if pairs is None else list(zip(texts, pairs, strict=True))
        encoded = self.fast.encode_batch_fast(rows)
        return [each.ids for each in encoded], [each.type_ids for each in encoded] if pairs is not None else []


class _Pretrained:
    """A tokenizer of the library transformers."""

    def __init__(self, how: Tokenizing) -> None:
        transformers = hub.library("transformers", f"the tokenizer {how.tokenizer!r}")
        load = partial(transformers.AutoTokenizer.from_pretrained, trust_remote_code=False)
        self.inner: Any = hub.found(load, how.tokenizer, "tokenizer")
        self.max_length, self.vocabulary = how.max_length, len(self.inner)
        fill = (self.inner.pad_token_id, self.inner.eos_token_id, 0)
        self.pad = next(token for token in fill if token is not None)
        fast = getattr(self.inner, "backend_tokenizer", None)
        described = fast.to_str() if fast is not None else sorted(self.inner.get_vocab().items())
        self.identity = _hash(type(self.inner).__name__, described, self.pad)

    def encode(self, texts: Sequence[str], pairs: Sequence[str] | None) -> tuple[list[Any], list[Any]]:
        encoded = self.inner(
            list(texts), None if pairs is None else list(pairs), truncation=True, max_length=self.max_length,
            padding=False, return_attention_mask=False, verbose=False,
        )  # fmt: skip
        return encoded["input_ids"], encoded.get("token_type_ids", [])


def _chosen(columns: Sequence[Sequence[str]], train_N: NDArray[np.bool_]) -> list[str]:
    """The training rows of each column, one after the other."""
    return [text for column in columns for text in compress(column, train_N)]


def _flat(tokenizer: Tokenizer, texts: Sequence[str], pairs: Sequence[str] | None) -> tuple[Tokenizer, Arrays]:
    """The arrays of `Tokens`: all ids in a row, where each text begins, and the segments if there is a second one."""
    ids: list[NDArray[np.int32]] = []
    segments: list[NDArray[np.uint8]] = []
    lengths: list[int] = []
    for start in range(0, len(texts), AT_ONCE):
        chosen = slice(start, start + AT_ONCE)
        found, second = tokenizer.encode(texts[chosen], None if pairs is None else pairs[chosen])
        found = [row or [tokenizer.pad] for row in found]  # a text without any token is one token to skip
        lengths += map(len, found)
        ids.append(np.fromiter(chain.from_iterable(found), np.int32))
        second = [row or [0] for row in second] or [np.zeros(len(ids[-1]), np.uint8)]
        segments.append(np.fromiter(chain.from_iterable(second), np.uint8))
    offsets_N = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
    arrays = {"ids": np.concatenate(ids), "offsets": offsets_N}
    if any(part.any() for part in segments):
        arrays["segments"] = np.concatenate(segments)
    return tokenizer, {name: torch.from_numpy(array) for name, array in arrays.items()}


def _cached(key: str, how: Tokenizing, make: Callable[[], tuple[Tokenizer, Arrays]]) -> Tokens:
    """What `make` gives, from the file of this key; of several processes one makes it and the others wait."""
    folder = cache_folder()
    file = folder / f"tokens-{key[:32]}.safetensors"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{file}.lock"):
            if (found := _read(file, how)) is None:
                tokenizer, arrays = make()
                about = {"vocabulary": str(tokenizer.vocabulary), "pad": str(tokenizer.pad)}
                write_atomically(file, save(arrays, metadata=about))
                found = _read(file, how)
    except (OSError, RunFailed) as error:
        raise BadInput(
            f"cannot keep tokens in the cache folder {folder} ({error}); EVENHAND_CACHE names another"
        ) from error
    assert found is not None
    return found


def _read(file: Path, how: Tokenizing) -> Tokens | None:
    """The tokens in a file, mapped into memory; None if it is not there or damaged."""
    if not file.exists():
        return None
    try:
        with safe_open(file, framework="pt") as opened:
            about = opened.metadata()
            arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 -- no mapping
        return Tokens(
            ids=arrays["ids"], offsets=arrays["offsets"], segments=arrays.get("segments"), pad=int(about["pad"]),
            vocabulary=int(about["vocabulary"]), tokenizer=how.tokenizer, max_length=how.max_length,
        )  # fmt: skip
    except (SafetensorError, KeyError, ValueError, TypeError):
        return None


def _joined(texts: Sequence[str]) -> bytes:
    """Hash of texts that tells apart where one ends and the next begins."""
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    return hashlib.sha256(lengths.tobytes() + "".join(texts).encode(errors="surrogatepass")).digest()


def _hash(*parts: object) -> str:
    return hashlib.sha256(repr((FORMAT, *parts)).encode()).hexdigest()
