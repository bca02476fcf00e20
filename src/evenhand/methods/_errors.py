"""Which training rows a model gets wrong: as it is, or as they went by while it was training."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from evenhand.batch import Batch, Split
from evenhand.losses import mean_cross_entropy
from evenhand.methods._base import Method, State
from evenhand.model import Model, in_chunks


class _Record(State):
    def __init__(self, y_N: Tensor) -> None:
        super().__init__()
        self.wrong_N = nn.Buffer(torch.zeros_like(y_N, dtype=torch.bool))  # when the row last went by


# Stages hand on nothing but the model, so this is where the next one finds what the one before has recorded of it.
_RECORDS: WeakKeyDictionary[Model, _Record] = WeakKeyDictionary()


@dataclass(frozen=True)
class RecordedERM(Method):
    """Plain training that notes which rows were wrong as they last went by; see `recorded_errors`."""

    def start(self, split: Split, model: Model, val: Split | None = None) -> State:
        _RECORDS[model] = state = _Record(split.y)
        return state

    def loss(self, batch: Batch, model: Model, state: State) -> Tensor:
        assert isinstance(state, _Record)
        logits_BC = model(batch.x)
        state.wrong_N[batch.rows] = logits_BC.detach().argmax(1) != batch.y
        return mean_cross_entropy(logits_BC, batch.y)


def recorded_errors(model: Model) -> Tensor | None:
    """(N,) whether each row was wrong as it last went by in `RecordedERM`, told once; None if nothing was recorded."""
    record = _RECORDS.pop(model, None)
    return None if record is None else record.wrong_N


@torch.no_grad()
def errors_of(split: Split, model: Model) -> Tensor:
    """(N,) whether the model, in eval mode and without augmentation, is wrong on each row."""
    with model.evaluating():
        return torch.cat([model(batch.x).argmax(1) != batch.y for batch in in_chunks(split)])
