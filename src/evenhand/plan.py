"""What a run will be: method and settings by name, checked against the data before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from evenhand import encoders, loggers, methods, runs
from evenhand.batch import Split
from evenhand.data._base import Data
from evenhand.errors import BadInput, unknown
from evenhand.evaluation import check_selectable
from evenhand.inputs.augmented import augmented
from evenhand.methods._base import Method, require_groups
from evenhand.model import Model
from evenhand.options import checked
from evenhand.regrouped import digest, regrouped
from evenhand.runs import Config
from evenhand.settings import Settings

TRACKS = ("collapse", "collapse-exact")


@dataclass(frozen=True)
class Plan:
    """A run to be: method and settings by name; what is not named is as the data set recommends, or the default.

    Attributes:
        oracle: also evaluate the test split after every epoch, to report what selecting on it would have given.
        groups_from: a table of groups (see `regrouped`) by which to train and to select; reported is by the data's own.
        track: what is recorded of the features in every epoch, one of `TRACKS`; empty for nothing.
        log: the logger that the training is also written to, one of `loggers.KINDS`; no part of the configuration.
    """

    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    oracle: bool = False
    groups_from: Path | None = None
    track: str = ""
    log: str = ""

    def splits(self, data: Data) -> tuple[Split, Split]:
        """What is trained on and selected by: train and val, with the groups of the plan."""
        return (data.train, data.val) if self.groups_from is None else regrouped(self.groups_from, data.train, data.val)


def resolve(plan: Plan, data: Data) -> tuple[Method, Settings, Config]:
    """The method, the settings and the full configuration of a plan on these data.

    Raises:
        BadInput: an unknown method, option, setting or encoder, a value that does not fit, a method that needs groups
            that the data lack, rows that the encoder does not take, or a selection rule that cannot be judged.
    """
    if plan.track and plan.track not in TRACKS:
        raise unknown("kind of tracking", plan.track, TRACKS)
    if plan.log:
        loggers.check(plan.log)
    train, val = plan.splits(data)
    plain = {} if val.has_attributes else {"select": "worst_class"}  # groups are classes there
    settings = Settings(**checked(Settings, {**plain, **data.recommended, **plan.settings}, "training"))
    recommended = data.recommended_options.get(plan.method, {}) if settings.weights == "none" else {}
    method = methods.make(plan.method, **{**recommended, **plan.options})
    check_labels(data)
    if settings.augment is not None:
        augmented(data.train, settings.augment)
    check_selectable(val, settings.select, train)
    if method.needs_groups:
        require_groups(train, method)
    with torch.device("meta"):  # builds no weights: whether the encoder takes such rows is seen at once
        model = new_model(settings, data)
    if settings.pretrain != "none":
        from evenhand.pretraining import _base, chosen

        _base.check(chosen(settings), model, data.train.inputs)
    return (
        method,
        settings,
        {
            "format": runs.FORMAT,
            "data": described(data),
            "method": {"name": plan.method, "options": asdict(method)},
            "settings": recorded(settings),
            "oracle": plan.oracle,
            **({"track": plan.track} if plan.track else {}),
            **({} if plan.groups_from is None else {"groups_sha256": digest(plan.groups_from)}),
            **identified_weights(settings),
        },
    )


def new_model(settings: Settings, data: Data) -> Model:
    """The encoder that the settings name, untrained, with a classifier for these data.

    A bottleneck is the last layer of the model's encoder.

    Raises:
        BadInput: no such encoder, or it does not take such rows or widths.
    """
    options: dict[str, Any] = {} if settings.widths is None else {"widths": settings.widths}
    if settings.weights != "none":
        options["weights"] = settings.weights
    told = getattr(data.train.inputs, "encoder_options", {})  # such as the size of the vocabulary of texts
    options |= {key: value for key, value in told.items() if encoders.takes(settings.encoder, key)}
    model = encoders.build(settings.encoder, row_shape(data), data.train.n_classes, **options)
    if settings.bottleneck is None:
        return model
    narrowing = nn.Linear(model.classifier.in_features, settings.bottleneck)
    return Model.linear(nn.Sequential(model.encoder, narrowing), settings.bottleneck, data.train.n_classes)


def recorded(settings: Settings) -> dict[str, Any]:
    """The settings in a configuration: without a bottleneck where there is none, as before there could be any."""
    found = asdict(settings)
    return {key: value for key, value in found.items() if key != "bottleneck" or value is not None}


def identified_weights(settings: Settings) -> dict[str, str]:
    """What tells runs apart that begin with different files of weights; nothing where no file is named."""
    digest = encoders.digest(settings.weights)
    return {"weights_sha256": digest} if digest else {}


def described(data: Data) -> dict[str, Any]:
    """What identifies the data of a run."""
    options = {"options": dict(data.options)} if data.options else {}
    return {"name": data.name, "fingerprint": data.fingerprint, **options}


def row_shape(data: Data) -> tuple[int, ...]:
    """The shape of one row's input."""
    with torch.device("cpu"):  # also where a caller builds models without values
        return tuple(data.train.inputs.take(torch.zeros(1, dtype=torch.int64)).shape[1:])


def check_labels(data: Data) -> None:
    """Raise BadInput if a class never occurs in training, so that nothing could learn to predict it."""
    missing = torch.nonzero(data.train.count_C == 0).flatten().tolist()
    if missing:
        names = data.train.class_names or tuple(str(c) for c in range(data.train.n_classes))
        raise BadInput(
            f"no training row has the label {', '.join(names[c] for c in missing)}; it could never be predicted"
        )
