"""The rows that a diagnosis looks at: frozen features, inputs as they are, labels and groups."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from evenhand import sampling
from evenhand.batch import Split
from evenhand.methods._last_layer import features_of
from evenhand.model import Model, in_chunks

MOST_OF_A_GROUP = 5000  # training rows: enough for a linear fit of some hundred features, and bounds the time
PIXELS = 16  # side to which images are averaged before they are compared as raw inputs
LEADING = 128  # principal components that are kept of raw inputs with more numbers than that


@dataclass(frozen=True, eq=False)
class Rows:
    """N rows of known group, in memory.

    Attributes:
        features: (N, D) of the frozen encoder, in eval mode.
        right: (N,) bool, whether the run's own classifier is.
        raw: (N, R) inputs as numbers, or None for texts.
    """

    split: Split
    features: Tensor
    right: Tensor
    raw: Tensor | None

    @property
    def y(self) -> Tensor:
        """(N,) classes."""
        return self.split.y

    @property
    def group(self) -> Tensor:
        """(N,) groups."""
        return self.split.group

    def __len__(self) -> int:
        return len(self.split)


@torch.no_grad()
def gathered(model: Model, train: Split, val: Split, seed: int = 0) -> tuple[Rows, Rows]:
    """Training rows, at most `MOST_OF_A_GROUP` of each group at random, and all validation rows."""
    order = torch.randperm(len(train), generator=Generator().manual_seed(seed))
    of_train = order[(train.group[order] >= 0) & (sampling.rank_within_label(train.group[order]) < MOST_OF_A_GROUP)]
    train, val = train.subset(of_train.sort().values), val.known()
    raw = [_raw(split) for split in (train, val)]
    if raw[0] is not None and raw[1] is not None and raw[0].shape[1] > LEADING:
        raw = list(_reduced(raw[0], raw[1], seed))
    return _rows(model, train, raw[0]), _rows(model, val, raw[1])


def _rows(model: Model, split: Split, raw: Tensor | None) -> Rows:
    features_ND = features_of(split, model)
    with model.evaluating():
        right_N = model.classifier(features_ND).argmax(1) == split.y
    return Rows(split, features_ND.float(), right_N, raw)


def _raw(split: Split) -> Tensor | None:
    """(N, R) inputs as numbers, images averaged to few pixels; None where they are texts."""
    if split.inputs.lengths is not None or not split.inputs.take(torch.arange(1)).is_floating_point():
        return None
    return torch.cat([_flat(batch.x) for batch in in_chunks(split)])


def _flat(x: Tensor) -> Tensor:
    if x.ndim == 4 and min(x.shape[2:]) > PIXELS:
        x = F.adaptive_avg_pool2d(x, PIXELS)
    return x.flatten(1).float()


def _reduced(train_MR: Tensor, val_NR: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Both by their coordinates along the leading principal components of train."""
    mean_R, scale_R = train_MR.mean(0), train_MR.std(0).clamp(min=1e-6)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        count = min(LEADING, *train_MR.shape)
        leading_RK = torch.pca_lowrank((train_MR - mean_R) / scale_R, q=count, center=False)[2]
    return (train_MR - mean_R) / scale_R @ leading_RK, (val_NR - mean_R) / scale_R @ leading_RK
