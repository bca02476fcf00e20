"""Small splits and networks, and losses one can write down, for the tests of methods."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Generator, Tensor, nn

from evenhand.batch import Batch, Split
from evenhand.methods._base import Method, State
from evenhand.model import Model

FEATURES, WIDTH = 5, 7


def split(
    n_rows: int = 60,
    *,
    classes: int = 2,
    attributes: Sequence[int] = (2,),
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    shape: Sequence[int] = (FEATURES,),
) -> Split:
    """Random rows of this shape; every group has rows, the first group half of them."""
    rng = Generator().manual_seed(seed)
    n_groups = classes * prod(attributes)
    group = torch.cat([torch.arange(n_groups), torch.randint(n_groups, (n_rows - n_groups,), generator=rng)])
    group[n_groups : n_rows // 2] = 0
    columns, rest = [], group
    for size in reversed([classes, *attributes]):
        columns.insert(0, rest % size)
        rest = rest // size
    x = torch.randn(n_rows, *shape, generator=rng, dtype=dtype) + group.view(-1, *[1] * len(shape)) / n_groups
    return Split.of(x, columns[0], columns[1:], n_classes=classes, attribute_sizes=attributes)


def network(
    classes: int = 2, *, seed: int = 0, dtype: torch.dtype = torch.float32, shape: Sequence[int] = (FEATURES,)
) -> Model:
    """A smooth network with one hidden layer, for rows of this shape."""
    torch.manual_seed(seed)
    flatten = [nn.Flatten()] if len(shape) > 1 else []
    encoder = nn.Sequential(*flatten, nn.Linear(prod(shape), WIDTH), nn.Tanh())
    return Model.linear(encoder, WIDTH, classes).to(dtype)


def echo(classes: int = 2) -> Model:
    """A model whose features and logits are its inputs (float64)."""
    model = Model.linear(nn.Identity(), classes, classes, bias=False).double()
    with torch.no_grad():
        model.classifier.weight.copy_(torch.eye(classes))
    return model


def logits_with_loss(losses: Sequence[float], y: Sequence[int], classes: int = 2) -> Tensor:
    """(B, C) float64 logits whose cross-entropies for the labels `y` are these, each above 0."""
    logits = torch.zeros(len(losses), classes, dtype=torch.float64)
    # The label's logit is l, all others are 0: loss = log(1 + (C - 1) exp(-l)).
    values = torch.tensor(losses, dtype=torch.float64)
    logits[torch.arange(len(y)), list(y)] = -torch.log(torch.expm1(values) / (classes - 1))
    return logits


def whole(data: Split) -> Batch:
    """All rows as one batch."""
    return data.batch(torch.arange(len(data)))


def train(
    method: Method, model: Model, data: Split, val: Split, state: State, *, epochs: int = 1, seed: int = 0
) -> Tensor:
    """Plain training of the half that the method's last stage trains; all losses. The seed is of all that is drawn."""
    torch.manual_seed(seed)
    optimizer = torch.optim.SGD(model.part(method.stages()[-1].trains).parameters(), lr=0.1)
    rng, losses = Generator().manual_seed(seed), []
    for _ in range(epochs):
        for rows in method.batches(data, state, 16, rng):
            loss = method.loss(data.batch(rows), model, state)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        method.end_epoch(data, model, state, val)
    return torch.stack(losses)


def assert_values(found: Tensor, *wanted: float) -> None:
    """To the five digits of values computed by hand."""
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=found.dtype).view(found.shape), atol=1e-5, rtol=0)
