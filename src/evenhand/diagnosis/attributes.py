"""SPLIT: what frozen features tell about the attributes, beside what the inputs tell."""

from __future__ import annotations

from typing import NamedTuple

from evenhand.batch import Split

from . import refits, separability
from .rows import Rows


class AttributeProbe(NamedTuple):
    """AUC with 95 % interval of telling one value of an attribute from all others; NaN without rows of both."""

    attribute: str
    value: str
    source: str  # "features" or "inputs"
    auc: float
    low: float
    high: float


def attribute_probes(train: Rows, val: Rows) -> list[AttributeProbe]:
    """How well a linear fit on training rows tells the attributes of validation rows.

    The supervised prediction layer information test of Glocker, Jones, Bernhardt and Winzeck (2023), Algorithmic
    encoding of protected characteristics in chest X-ray disease detection models: the encoder stays as it is, in eval
    mode, and a new linear layer predicts the attribute from its features. Beside it the same from raw inputs. Of two
    values one is told from the other; of more, each from all others.

    Differs from the authors' code: a logistic fit with equal weight on every value in place of trained layers, and
    batch statistics are not changed.
    """
    split, found = train.split, []
    sources = {"features": (train.features, val.features)}
    if train.raw is not None and val.raw is not None:
        sources["inputs"] = (train.raw, val.raw)
    if split.attributes is None or val.split.attributes is None:
        return []
    for k, size in enumerate(split.attribute_sizes):
        fit_M, judged_N = split.attributes[:, k], val.split.attributes[:, k]
        for source, (fit_MD, judge_ND) in sources.items():
            rows = refits.Labelled(fit_MD, fit_M, fit_M, size, size)
            score_NV = refits.margins(refits.transferred_logits(rows, judge_ND))
            for value in range(size == 2, size):
                estimate = separability.auc_interval(score_NV[:, value], judged_N == value)
                found.append(AttributeProbe(*_names(split, k, value), source, *estimate))
    return found


def _names(split: Split, k: int, value: int) -> tuple[str, str]:
    name = split.attribute_names[k] if split.attribute_names else f"a{k}"
    return name, split.attribute_values[k][value] if split.attribute_values else str(value)
