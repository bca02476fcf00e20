"""Methods that do not declare `needs_groups` cannot see groups: their training is the same whatever these are."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny
from evenhand import methods
from evenhand.batch import Batch, Split
from evenhand.methods._base import Method, State
from evenhand.model import Model
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


# --- a training that is stopped: what the second stage knows of the first is part of its snapshots ---

STAGED: dict[str, tuple[str, dict[str, Any]]] = {
    "bpa": ("bpa", {"erm_epochs": 1, "refresh_every": 2}),
    "clusterfix": ("clusterfix", {"erm_epochs": 1}),
    "george": ("george", {"erm_epochs": 1, "clusters": 2, "adjustment": 1.0}),
    "jtt": ("jtt", {"upweight": 3}),
    "jtt, moving": ("jtt", {"upweight": 3, "errors": "moving"}),
    "lff": ("lff", {}),
}


class _Stop(Exception):
    pass


def stop_after(steps: int, method: Method, patched: pytest.MonkeyPatch) -> None:
    """Make the loss of every stage's method fail once so many have been computed."""
    taken: Counter[str] = Counter()

    def stopping(original: Any) -> Any:
        def loss(self: Method, batch: Batch, model: Model, state: State) -> torch.Tensor:
            taken["losses"] += 1
            if taken["losses"] > steps:
                raise _Stop
            found: torch.Tensor = original(self, batch, model, state)
            return found

        return loss

    for cls in {type(stage.method) for stage in method.stages()}:
        patched.setattr(cls, "loss", stopping(cls.loss))


@pytest.mark.parametrize("name", STAGED)
@pytest.mark.parametrize("steps", [3, 4, 6, 9])  # an epoch of plain training has 4
def test_a_stopped_training_continues(name: str, steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    method = methods.make(STAGED[name][0], **STAGED[name][1])
    train, val = (tiny.split(60, seed=seed).without_groups() for seed in (0, 1))
    wanted = fit(tiny.network(), method, train, val, SETTINGS).model.state_dict()
    file = tmp_path / "snapshot.pt"
    with monkeypatch.context() as patched:
        stop_after(steps, method, patched)
        with pytest.raises(_Stop):
            fit(tiny.network(), method, train, val, SETTINGS, checkpoint=file, checkpoint_every=0)
    found = fit(tiny.network(), method, train, val, SETTINGS, checkpoint=file).model.state_dict()
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)
