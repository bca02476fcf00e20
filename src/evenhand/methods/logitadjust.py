"""Logit adjustment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from evenhand.batch import Batch, Split
from evenhand.errors import BadInput
from evenhand.groups import mean_per_group
from evenhand.losses import at_least_single, mean_cross_entropy
from evenhand.methods._base import Method, Stage, State, loss_dtype, require_range
from evenhand.methods._classes import log_prior
from evenhand.methods.erm import ERM
from evenhand.model import Model, in_chunks


class _Offsets(State):
    def __init__(self, offset_C: Tensor) -> None:
        super().__init__()
        self.offset_C = nn.Buffer(offset_C)


@dataclass(frozen=True)
class LogitAdjust(Method):
    """Makes predictions fit for equally frequent classes, by the logarithm of their frequencies. Needs no groups.

    Menon, Jayasumana, Rawat, Jain, Veit and Kumar (2021), Long-tail learning via logit adjustment, Equations 9 and 10.

        offset_C = tau * log(count_C / N)
        loss     = cross_entropy(logits_BC + offset_C, y_B).mean(); predictions are argmax(logits_BC)

    With tau 1 this is the balanced softmax. After the fact (`when="after"`): plain training first, then `offset_C` is
    subtracted from the classifier's bias. One or the other, never both.

    Attributes:
        tau: at least 0; 1 fits equally frequent classes, 0 is plain training.
        when: "training" adjusts the loss; "after" adjusts the classifier of a model trained plainly.
        sweep: for "after": values of tau, at least 0, of which the one with the largest mean accuracy over classes on
            validation is taken (of equal ones the first); empty takes `tau`. The paper looks at .25 to 2.
        least_count: above 0: a class with fewer training rows counts as having so many: no logarithm is infinite.

    Raises:
        BadInput: an option outside its range, a sweep for "training" or without a validation split, or "after" for a
            classifier without bias.

    Differs from the authors' code, which was not available, and from its PyTorch port: no second weight decay is added
    to the loss, and a class without rows is as if it had one, not 1e-12 of all.
    """

    tau: float = 1.0
    when: Literal["training", "after"] = "training"
    sweep: tuple[float, ...] = ()
    least_count: float = 1.0

    source = "https://github.com/Chumsy0725/logit-adj-pytorch"

    def __post_init__(self) -> None:
        require_range(self, "tau", 0)
        require_range(self, "least_count", 0, above=True)
        if self.sweep and self.when == "training":
            raise BadInput("sweep of LogitAdjust is for when=after only")
        if self.sweep and not min(self.sweep) >= 0:
            raise BadInput(f"sweep of LogitAdjust must be values of at least 0, got {self.sweep}")

    def stages(self) -> tuple[Stage, ...]:
        if self.when == "training":
            return (Stage(self),)
        return (Stage(ERM(), keep="best"), Stage(self, epochs=0, trains="classifier"))

    @torch.no_grad()
    def start(self, split: Split, model: Model, val: Split | None = None) -> State:
        prior_C = log_prior(split.count_C.to(loss_dtype(model)), self.least_count)
        if self.when == "training":
            return _Offsets(self.tau * prior_C)
        if model.classifier.bias is None:
            raise BadInput("LogitAdjust with when=after needs a classifier with a bias")
        offset_C = (self._best_tau(prior_C, model, val) if self.sweep else self.tau) * prior_C
        model.classifier.bias.sub_(offset_C)
        return _Offsets(offset_C)

    def loss(self, batch: Batch, model: Model, state: State) -> Tensor:
        assert isinstance(state, _Offsets)
        if self.when == "after":
            with torch.no_grad():
                features_BD = model.encoder(batch.x)
            logits_BC = model.classifier(features_BD)
        else:
            logits_BC = model(batch.x)
        return mean_cross_entropy(at_least_single(logits_BC) + state.offset_C, batch.y)

    def _best_tau(self, prior_C: Tensor, model: Model, val: Split | None) -> float:
        if val is None:
            raise BadInput("sweep of LogitAdjust needs a validation split: start(train, model, val)")
        with model.evaluating():
            logits_NC = torch.cat([at_least_single(model(batch.x)) for batch in in_chunks(val)])
        taus_T = prior_C.new_tensor(self.sweep)
        guess_NT = (logits_NC[:, None] - taus_T[:, None] * prior_C).argmax(2)
        right_CT, count_C = mean_per_group((guess_NT == val.y[:, None]).to(prior_C.dtype), val.y, val.n_classes)
        mean_T = right_CT.sum(0) / (count_C > 0).sum()
        return self.sweep[int(mean_T.argmax())]
