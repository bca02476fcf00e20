"""Learning from failure."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from evenhand.batch import Batch, Split
from evenhand.losses import cross_entropy
from evenhand.methods._base import Method, Stage, State, loss_dtype, require_range
from evenhand.methods._last_layer import constant_features
from evenhand.model import Model

UNSEEN = -1.0


class _Failures(State):
    """The biased network (its classifier, where the encoder is frozen), and running losses of every row."""

    def __init__(self, biased: nn.Module, split: Split, dtype: torch.dtype) -> None:
        super().__init__()
        self.biased = biased
        unseen_N = torch.full_like(split.y, UNSEEN, dtype=dtype)
        self.y_N = nn.Buffer(split.y.clone(), persistent=False)
        self.least_C = nn.Buffer(unseen_N.new_zeros(split.n_classes), persistent=False)
        self.biased_N, self.debiased_N = nn.Buffer(unseen_N), nn.Buffer(unseen_N.clone())


@dataclass(frozen=True)
class LfF(Method):
    """Trains a second network that falls for shortcuts, and weights rows by how much harder it finds them.

    Nam, Cha, Ahn, Lee and Shin (2020), Learning from failure: training debiased classifier from biased classifier,
    Algorithm 1. Needs no groups.

        biased_B, debiased_B = running means of each row's cross-entropy in the two networks, divided by the largest of
                               all training rows of its class
        weight_B = (biased_B / (biased_B + debiased_B + 1e-8)) ** power    in [0, 1]; constant for the gradient
        loss     = (weight_B * cross_entropy(logits_BC, y_B)).mean() + ((1 - p_B ** q) / q).mean()

    where p_B is the biased network's probability of the row's class: the generalised cross-entropy, which learns what
    is easy. The model is the debiased network; the biased one is trained beside it by the same optimizer, and twice
    the time and memory are spent. A row's first loss is its running mean in full.

    Attributes:
        q: in (0, 1]; near 0 the biased network is trained by cross-entropy.
        ema: weight of the newest loss in a row's running mean, in (0, 1]; 1 uses the newest only. The authors' alpha is
            1 - ema.
        normalise: divide running means by the largest of the class; without, and with ema=1, as in SubpopBench.
        power: at least 0; 1 is the paper's, 0 is plain training.
        gce: "paper": (1 - p ** q) / q; "published": q * p ** q * cross_entropy, with p ** q constant, whose gradient is
            q times the paper's.
        biased_start: "copy": the biased network begins with the model's encoder and a new classifier; "new": with new
            weights throughout, as the authors' do, which pretrained encoders do not bear.
        freeze_encoder: train the two classifiers only, on the model's features in eval mode, as the authors do for
            CelebA.

    Raises:
        BadInput: an option outside its range.

    Differs from the authors' code: the paper's generalised cross-entropy unless `published`; a class whose losses are
    all 0 has weight 0 instead of stopping the run; the epoch is selected on validation, where they keep the last;
    and one optimizer holds both networks, which for clip is one norm.
    """

    q: float = 0.7
    ema: float = 0.3
    normalise: bool = True
    power: float = 1.0
    gce: Literal["paper", "published"] = "paper"
    biased_start: Literal["copy", "new"] = "copy"
    freeze_encoder: bool = False

    source = "https://github.com/alinlab/LfF"

    def __post_init__(self) -> None:
        require_range(self, "q", 0, 1, above=True)
        require_range(self, "ema", 0, 1, above=True)
        require_range(self, "power", 0)

    def stages(self) -> tuple[Stage, ...]:
        return (Stage(self, trains="classifier" if self.freeze_encoder else "all"),)

    def start(self, split: Split, model: Model, val: Split | None = None) -> State:
        biased = deepcopy(model).train()
        _renew(biased if self.biased_start == "new" else biased.classifier)
        return _Failures(biased.classifier if self.freeze_encoder else biased, split, loss_dtype(model))

    def loss(self, batch: Batch, model: Model, state: State) -> Tensor:
        assert isinstance(state, _Failures)
        if self.freeze_encoder:
            features_BD = constant_features(batch, model)
            logits_BC, biased_BC = model.classifier(features_BD), state.biased(features_BD)
        else:
            logits_BC, biased_BC = model(batch.x), state.biased(batch.x)
        debiased_B, biased_B = cross_entropy(logits_BC, batch.y), cross_entropy(biased_BC, batch.y)
        weight_B = self.weights(batch, biased_B.detach(), debiased_B.detach(), state)
        return torch.dot(weight_B, debiased_B) / len(weight_B) + self.confident(biased_B).mean()

    @torch.no_grad()
    def weights(self, batch: Batch, biased_B: Tensor, debiased_B: Tensor, state: State) -> Tensor:
        """(B,) weight of each row, after its losses in the two networks have entered its running means."""
        assert isinstance(state, _Failures)
        biased_B = self._running(state.biased_N, biased_B, batch, state)
        debiased_B = self._running(state.debiased_N, debiased_B, batch, state)
        relative_B = biased_B / (biased_B + debiased_B + 1e-8)
        return relative_B if self.power == 1 else relative_B**self.power

    def confident(self, loss_B: Tensor) -> Tensor:
        """(B,) generalised cross-entropy of rows with these cross-entropies."""
        if self.gce == "published":
            return self.q * (-self.q * loss_B.detach()).exp() * loss_B
        return -torch.expm1(-self.q * loss_B) / self.q

    def _running(self, mean_N: Tensor, loss_B: Tensor, batch: Batch, state: _Failures) -> Tensor:
        """(B,) the rows' running means, updated, relative to the largest of their class."""
        before_B = mean_N[batch.rows]
        mean_B = torch.where(before_B < 0, loss_B, torch.lerp(before_B, loss_B, self.ema))
        mean_N[batch.rows] = mean_B
        if not self.normalise:
            return mean_B
        largest_C = state.least_C.scatter_reduce(0, state.y_N, mean_N, "amax")
        return mean_B / largest_C[batch.y].clamp(min=torch.finfo(mean_B.dtype).tiny)


def _renew(network: nn.Module) -> None:
    """Draw every layer's weights anew, by torch's global generator, as the layer does when it is made."""
    for module in network.modules():
        if callable(reset := getattr(module, "reset_parameters", None)):
            reset()
