"""What discovery looks at: features and predictions of train and val, or what a run has stored of val and test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from evenhand import features, runs
from evenhand.batch import Split
from evenhand.data._base import Data
from evenhand.discovery.kinds._base import Array, Rows
from evenhand.errors import BadInput
from evenhand.methods._clusters import features_in_memory
from evenhand.model import Model
from evenhand.plan import described, row_shape
from evenhand.runs import Run

MOST_RAW = 2**14  # numbers of an input that may be taken as they are
ROWS_AT_ONCE = 65_536


@dataclass(frozen=True, eq=False)
class Truth:
    """Attributes that are known: for scoring what was found, and never to find it.

    Attributes:
        attributes: by split (N, K) int64, -1 where not known.
        sizes: how many values each of the K attributes has.
        names: of the G groups.
        count: (G,) rows of each group in train.
    """

    attributes: Mapping[str, Array]
    sizes: tuple[int, ...]
    names: tuple[str, ...]
    count: Array

    def attribute(self, split: str) -> Array:
        """(N,) all attributes as one index, -1 where one is not known."""
        columns_NK = self.attributes[split]
        index_N = np.zeros(len(columns_NK), dtype=np.int64)
        for column_N, size in zip(columns_NK.T, self.sizes, strict=True):
            index_N = index_N * size + column_N
        return np.where((columns_NK < 0).any(axis=1), -1, index_N)

    def group(self, split: str, y_N: Array) -> Array:
        """(N,) group of each row, -1 where it is not known."""
        attribute_N = self.attribute(split)
        return np.where(attribute_N < 0, -1, y_N * prod(self.sizes) + attribute_N)


@dataclass(frozen=True, eq=False)
class Source:
    """Rows to look at, by split.

    Attributes:
        about: what they are of, for the record.
        rows: by split; the only part that groups are found in.
        labels: what classes and attributes are called, as a run stores it.
        truth: known attributes; None where there are none.
        inputs: by split, to show examples from; empty where there are none.
        feature_names: of the columns of inputs that are a table.
        held_out: a split that the model was not trained on, where there is one.
    """

    about: Mapping[str, Any]
    rows: Mapping[str, Rows]
    labels: Mapping[str, Any]
    truth: Truth | None
    inputs: Mapping[str, Split] = field(default_factory=dict)
    feature_names: tuple[str, ...] = ()
    held_out: str | None = None

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of the C classes."""
        return tuple(self.labels["classes"])

    @property
    def has_predictions(self) -> bool:
        """Whether there is a model."""
        return next(iter(self.rows.values())).logits is not None


def at_run(run: Run, data: Data, device: str = "auto") -> Source:
    """Features and predictions of a finished run's model on train and val.

    Raises:
        BadInput: the run has no model, or `data` are not those that it was trained on.
    """
    model = features.load_model(run, data)
    return _at(data, model, {"run": run.folder.name, "features": "features of the run"}, device, predicts=True)


def at_data(data: Data, model: Model | None, said: str, device: str = "auto") -> Source:
    """Features of train and val by an encoder that was not trained on the labels, without predictions.

    Args:
        model: its encoder; None for the inputs themselves.
        said: what the features are called.

    Raises:
        BadInput: inputs cannot be taken as they are.
    """
    return _at(data, model or _raw(data), {"features": said}, device, predicts=False)


def at_predictions(run: Run) -> Source:
    """A run's stored predictions of val and test, with logits in the place of features; nothing else is opened.

    Raises:
        BadInput: the run is damaged.
    """
    try:
        table = run.predictions()
        logits = [name for name in table.columns if name.startswith("logit_")]
        attributes = [name for name in table.columns if name.startswith("attribute_")]
        parts = {name: table.filter(table["split"] == name) for name in ("val", "test")}
        labels = run.metrics["labels"]
        groups = run.metrics["groups"]
    except (OSError, KeyError) as error:
        raise BadInput(f"{run.folder} is damaged: its predictions cannot be read ({error})") from error
    rows = {}
    for name, part in parts.items():
        logits_NC = part.select(logits).to_numpy().astype(np.float32)
        rows[name] = Rows(logits_NC, part["y"].to_numpy(), len(logits), logits_NC)
    truth = None
    if attributes:
        truth = Truth(
            {name: part.select(attributes).fill_null(-1).to_numpy() for name, part in parts.items()},
            tuple(len(each["values"]) for each in labels["attributes"]),
            tuple(group["group"] for group in groups),
            np.array([group["train"] for group in groups]),
        )
    about = {"data": run.config["data"], "run": run.folder.name, "features": "logits that the run has stored"}
    return Source(about, rows, labels, truth)


def _at(data: Data, model: Model, said: dict[str, Any], device: str, *, predicts: bool) -> Source:
    chosen = Fabric(accelerator=device, devices=1).device
    model = model.to(chosen)
    splits = {"train": data.train, "val": data.val}
    rows = {}
    for name, split in splits.items():
        # Without groups: neither the encoder nor what finds groups is given them.
        features_ND = features_in_memory(split.without_groups().to(chosen), model, normalise=False)
        logits_NC = _logits(model, features_ND, chosen) if predicts else None
        rows[name] = Rows(features_ND, split.y.cpu().numpy(), split.n_classes, logits_NC)
    truth = None
    if data.train.attributes is not None and data.val.attributes is not None:
        truth = Truth(
            {name: split.attributes.cpu().numpy() for name, split in splits.items() if split.attributes is not None},
            data.train.attribute_sizes,
            tuple(data.train.group_name(g) for g in range(data.train.n_groups)),
            data.train.count_G.cpu().numpy(),
        )
    return Source(
        {"data": described(data), **said}, rows, runs.labels(data.train), truth, splits, data.feature_names,
        held_out="val" if predicts else None,
    )  # fmt: skip


@torch.no_grad()
def _logits(model: Model, features_ND: Array, device: torch.device) -> Array:
    chunks = torch.split(torch.from_numpy(features_ND), ROWS_AT_ONCE)
    found: Array = torch.cat([model.classifier(chunk.to(device)).float().cpu() for chunk in chunks]).numpy()
    return found


def _raw(data: Data) -> Model:
    """An encoder that leaves inputs as they are."""
    if data.train.inputs.lengths is not None:
        raise BadInput(f"{data.name} are texts, which are no features: name an encoder, or a finished run")
    size = prod(row_shape(data))
    if size > MOST_RAW:
        raise BadInput(
            f"a row of {data.name} has {size} numbers, too many to be clustered as they are (at most {MOST_RAW}): "
            "name an encoder, or a finished run"
        )
    return Model.linear(nn.Flatten(), size, data.train.n_classes).eval()
