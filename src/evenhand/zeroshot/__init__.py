"""Predictors that need no training, one module each, found by file name: `zeroshot/clip.py` holds `clip`.

What they leave is a finished run like any other, without a model and without epochs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from evenhand import by_name
from evenhand.errors import BadInput, unknown
from evenhand.options import checked

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from evenhand.batch import Split
    from evenhand.data._base import Data
    from evenhand.runs import Config, Run
    from evenhand.settings import Settings
    from evenhand.zeroshot._base import ZeroShot

SETTINGS = ("batch_size", "device", "threads", "seed")  # those of `Settings` that matter without training


def names() -> tuple[str, ...]:
    """Every kind of predictor, in alphabetical order, without importing any."""
    return by_name.names(__name__)


def find(kind: str) -> type[ZeroShot]:
    """The class of the predictors of this kind.

    Raises:
        BadInput: there is no such kind; the message suggests the nearest.
    """
    if kind not in names():
        raise unknown("kind of zero-shot predictor", kind, names())
    found: type[ZeroShot] = by_name.find(__name__, kind, "ZeroShot")
    return found


def make(kind: str, /, **options: Any) -> ZeroShot:
    """The predictor of this kind with these options.

    Raises:
        BadInput: no such kind, an option it does not have, or a value that does not fit.
    """
    predictor = find(kind)
    values = checked(predictor, options, f"zero-shot prediction by {kind}")
    if "model" not in values:
        raise BadInput(f"zero-shot prediction by {kind} needs the option model")
    return predictor(**values)


def resolve(
    data: Data, predictor: ZeroShot, settings: Mapping[str, Any] | None = None
) -> tuple[ZeroShot, Settings, Config]:
    """The predictor with the names of these classes, its settings, and the full configuration of its run.

    Args:
        settings: of `SETTINGS`; what is not named is the predictor's own batch size, or the default.

    Raises:
        BadInput: an unknown setting or a wrong value, rows that are no images, or class names that do not fit.
    """
    from evenhand import runs
    from evenhand.encoders._shapes import image_shape
    from evenhand.plan import described, row_shape
    from evenhand.settings import Settings
    from evenhand.zeroshot._prompts import spoken

    given = dict(settings or {})
    for key in given:
        if key not in SETTINGS:
            raise unknown("setting of zero-shot prediction", key, SETTINGS)
    chosen = Settings(**checked(Settings, {"batch_size": predictor.usual_batch_size, **given}, "zero-shot prediction"))
    image_shape(predictor.name(), row_shape(data), 1, colours=True)
    predictor = replace(predictor, class_names=spoken(data.train, predictor.class_names))
    config = {
        "format": runs.FORMAT,
        "data": described(data),
        "method": {"name": predictor.name(), "options": asdict(predictor)},
        "settings": {key: getattr(chosen, key) for key in SETTINGS},
        "oracle": False,
        **predictor.identified(),
    }
    return predictor, chosen, config


def run(
    data: Data,
    predictor: ZeroShot,
    out: Path,
    settings: Mapping[str, Any] | None = None,
    *,
    on_rows: Callable[[int], None] | None = None,
) -> Run:
    """The finished run of `predictor` on the validation and test rows below `out`: found there, or made.

    A killed one continues with the batch at which it was, and gives what an uninterrupted one gives.

    Args:
        on_rows: called with the number of rows that were just predicted.

    Raises:
        BadInput: what `resolve` raises; a library or weights are missing or do not fit; or `out` cannot be used.
        RunFailed: the results cannot be written.
    """
    from lightning_fabric import Fabric

    from evenhand import runs
    from evenhand.execute import execute_untrained
    from evenhand.randomness import reproducible
    from evenhand.zeroshot._base import logits_of

    predictor, chosen, config = resolve(data, predictor, settings)
    runs.claim(out, config["data"])
    if found := runs.find(out, config):
        return found
    device = Fabric(accelerator=chosen.device, devices=1).device
    with reproducible(chosen):
        classifier = predictor.classifier(device, chosen.batch_size, chosen.seed)

        def predict(split: Split, kept: Path) -> Tensor:
            return logits_of(classifier, split, chosen.batch_size, device, on_rows=on_rows, kept=kept)

        return execute_untrained(data, config, predict, out, device=device)
