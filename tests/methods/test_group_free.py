"""Methods that do not declare `needs_groups` cannot see groups: their training is the same whatever these are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

import tiny
from evenhand import methods
from evenhand.batch import Split
from evenhand.settings import Settings
from evenhand.train import fit

SHAPE = (1, 4, 4)
SETTINGS = Settings(epochs=3, batch_size=16, lr=0.01, select="worst_class")
GROUP_FREE = [name for name in methods.names() if not methods.find(name).needs_groups]
SHORT: dict[str, dict[str, Any]] = {
    "george": {"overcluster": True, "clusterer": "kmeans", "max_clusters": 3},
    "jtt": {"upweight": 3},
}


def poisoned(data: Split, how: str) -> Split:
    """The same rows with other groups."""
    n_rows, rng = len(data), torch.Generator().manual_seed(1)
    if how == "none":
        return data.without_groups()
    sizes = {"other": (2,), "more": (3, 4), "one": (2,)}[how]
    columns = [torch.randint(1 if how == "one" else size, (n_rows,), generator=rng) for size in sizes]
    return replace(data, attributes=torch.stack(columns, 1), attribute_sizes=sizes)


def trained(name: str, train: Split, val: Split) -> dict[str, torch.Tensor]:
    method = methods.make(name, **SHORT.get(name, {}))
    fitted = fit(tiny.network(shape=SHAPE), method, train, val, SETTINGS)
    scores = {f"score {k}": torch.tensor(record["score"]) for k, record in enumerate(fitted.history)}
    return {**fitted.model.state_dict(), **scores, "epoch": torch.tensor(fitted.epoch)}


@pytest.mark.parametrize("name", GROUP_FREE)
def test_groups_change_nothing(name: str) -> None:
    train, val = (tiny.split(60, seed=seed, shape=SHAPE) for seed in (0, 1))
    wanted = trained(name, train, val)
    for how in ("none", "other", "more", "one"):
        found = trained(name, poisoned(train, how), poisoned(val, how))
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[key], wanted[key]) for key in wanted), how


def test_the_methods_without_groups_are_among_them() -> None:
    assert {"jtt", "lff", "george", "bpa", "clusterfix"} <= set(GROUP_FREE)
