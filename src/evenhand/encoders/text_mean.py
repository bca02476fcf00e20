"""The mean of word vectors and a few layers on it: for texts, quick on a CPU."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from evenhand.errors import BadInput


class _TextMean(nn.Module):
    """See `text_mean`."""

    def __init__(self, vocabulary: int, widths: Sequence[int], pairs: bool) -> None:
        super().__init__()
        self.pairs = pairs
        self.embedding = nn.Embedding(vocabulary, widths[0])
        layers: list[nn.Module] = []
        for fan_in, width in zip([widths[0] * (4 if pairs else 1), *widths[1:-1]], widths[1:], strict=True):
            layers += [nn.Linear(fan_in, width), nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        ids_BL, mask_BL, segment_BL = x.unbind(1)
        vectors_BLE = self.embedding(ids_BL)
        if not self.pairs:
            features: Tensor = self.layers(masked_mean(vectors_BLE, mask_BL))
            return features
        first, second = (masked_mean(vectors_BLE, mask_BL * (segment_BL == which)) for which in (0, 1))
        both: Tensor = self.layers(torch.cat((first, second, (first - second).abs(), first * second), dim=1))
        return both


def masked_mean(vectors_BLE: Tensor, chosen_BL: Tensor) -> Tensor:
    """(B, E) mean of the chosen vectors of each row; 0 where none is."""
    weight_BL = chosen_BL / chosen_BL.sum(dim=1, keepdim=True).clamp_min(1)
    return torch.bmm(weight_BL.to(vectors_BLE.dtype)[:, None], vectors_BLE)[:, 0]


def text_mean(
    shape: tuple[int, ...], widths: Sequence[int] = (64, 64), vocabulary: int = 30_000, pairs: bool = False
) -> tuple[nn.Module, int]:
    """Word vectors of the first width, averaged over a text's tokens, then linear layers with a ReLU after each.

    Iyyer et al. (2015), Deep unordered composition rivals syntactic methods for text classification. Of a pair of texts
    with means u and v the layers are given u, v, |u - v| and u v; Conneau et al. (2017), Supervised learning of
    universal sentence representations, Section 3.1. Rows come as (3, L) int64: token ids, attention mask, segment ids.

    Args:
        widths: of the word vectors, and of one layer or more; features have the last width.
        vocabulary: how many different token ids there are.
        pairs: whether segment 1 is a second text.

    Raises:
        BadInput: rows are not texts, or there are fewer than two widths.
    """
    require_texts("text_mean", shape)
    if len(widths) < 2:
        raise BadInput(f"the encoder text_mean needs a width of word vectors and of a layer, got {tuple(widths)}")
    return _TextMean(vocabulary, widths, pairs), widths[-1]


def require_texts(encoder: str, shape: tuple[int, ...]) -> None:
    """Raise BadInput unless rows of this shape are tokenised texts."""
    if len(shape) != 2 or shape[0] != 3:
        raise BadInput(
            f"the encoder {encoder} takes texts as rows of shape (3, L): token ids, attention mask, segment ids; "
            f"got rows of shape {shape}"
        )
