"""What a run, and perhaps a second one beside it, makes of chosen rows: maps, energies, words or columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from evenhand import features
from evenhand.batch import Split
from evenhand.data._base import Data
from evenhand.discovery.quoting import are_texts
from evenhand.discovery.sheet import is_pictures
from evenhand.errors import BadInput
from evenhand.explanations import choosing, masks, planes
from evenhand.explanations.choosing import Example, Judged
from evenhand.explanations.work import Explanation, OnRows, Request, Subject, Work
from evenhand.files import without_nan
from evenhand.plan import described
from evenhand.runs import Run


@dataclass(frozen=True)
class Origin:
    """What loaded data do not keep.

    Attributes:
        name: by which they were asked for; default the data's own.
        root: the folder that holds every data set.
        masks: a folder of masks of images; default those that the data set has, if any.
    """

    name: str | None = None
    root: Path | None = None
    masks: Path | None = None


def explain(
    run: Run,
    data: Data,
    request: Request,
    against: Run | None = None,
    origin: Origin | None = None,
    *,
    device: str | torch.device = "cpu",
    on_rows: OnRows | None = None,
) -> Explanation:
    """Explain a finished run on examples of each group, and a second run on the same.

    Images are explained by class activation maps (with energies where masks are known), texts and tables by what words
    and columns add to the logit.

    Args:
        origin: by which masks and texts are found; without it the data's own name is tried.
        on_rows: called with the number of rows that were just explained for a run.

    Raises:
        BadInput: a run is damaged or on other data, or the request does not fit.
    """
    kind, origin = kind_of(data), origin or Origin()
    split = features.rows_of(data, request.part)
    runs = _named(run, against)
    subjects = tuple(
        Subject(name, features.load_model(each, data).to(device), choosing.judged(each, request.part, split))
        for name, each in runs.items()
    )
    examples = _examples(request, split, [each.judged for each in subjects])
    work = Work(request, split, subjects, examples, on_rows)
    record = {
        "kind": "explanation",
        "run": subjects[0].name,
        "against": subjects[1].name if against else None,
        "method": {name: each.config["method"]["name"] for name, each in runs.items()},
        "data": described(data),
        "inputs": kind,
        "split": request.part,
        "target": request.target,
        "groups": work.groups,
        "examples": [_described(each, split, subjects) for each in examples],
    }
    if request.projection:
        models = {each.name: each.model for each in subjects}
        record["projection"] = planes.projected(
            runs, models, data, request.part, request.projection, device=torch.device(device).type
        )
    if kind == "images":
        from evenhand.explanations import images

        return images.explained(work, record, _masks(origin, data, request.part, split))
    if origin.masks is not None:
        raise BadInput(f"masks say where the object of an image is, and {data.name} holds no images")
    if kind == "texts":
        return Explanation({**record, "tokens": _tokens(work, data, origin)})
    return Explanation({**record, "columns": _columns(work, data)})


def kind_of(data: Data) -> Literal["images", "texts", "table"]:
    """What the inputs are.

    Raises:
        BadInput: none of these.
    """
    if are_texts(data):
        return "texts"
    if is_pictures(data.val):
        return "images"
    if data.val.inputs.take(torch.zeros(1, dtype=torch.int64)).ndim == 2:
        return "table"
    raise BadInput(f"the inputs of {data.name} are no images, no texts and no table: they cannot be explained")


def _named(run: Run, against: Run | None) -> dict[str, Run]:
    """The runs by the names of their folders."""
    found = [each for each in (run, against) if each is not None]
    folders = [each.folder.resolve() for each in found]
    if len(set(folders)) < len(folders):
        raise BadInput(f"a run is compared with another one, and both are {run.folder}")
    alike = len({folder.name for folder in folders}) < len(folders)
    names = [f"{folder.parent.name}-{folder.name}" if alike else folder.name for folder in folders]
    if len(set(names)) < len(names):
        names = [f"{name}-{number}" for number, name in enumerate(names)]
    return dict(zip(names, found, strict=True))


def _examples(request: Request, split: Split, judged: Sequence[Judged]) -> tuple[Example, ...]:
    if request.rows:
        return tuple(choosing.named(request.rows, judged[0]))
    against = judged[1] if len(judged) > 1 else None
    found = choosing.choose(judged[0], against, request.reasons, request.per_group, split.n_groups)
    if not found:
        raise BadInput(
            f"no row of {request.part} fits the choice {','.join(request.reasons)}; typical is one that always has rows"
        )
    return tuple(found)


def _described(example: Example, split: Split, subjects: Sequence[Subject]) -> dict[str, Any]:
    names = split.class_names or tuple(str(c) for c in range(split.n_classes))
    own, said = subjects[0].judged, [names[each.judged.prediction_N[example.row]] for each in subjects]
    return {
        "group": split.group_name(example.group) if example.group >= 0 else "not known",
        "row": example.row,
        "reason": example.reason,
        "label": names[own.y_N[example.row]],
        "prediction": said[0],
        "against_prediction": said[1] if len(said) > 1 else None,
        "loss": float(own.loss_N[example.row]),
    }


def _masks(origin: Origin, data: Data, part: str, split: Split) -> masks.Found | None:
    try:
        data_set = masks.opened(origin.name or data.name, data.options)
    except BadInput:  # data of one's own that are not behind a name
        if origin.masks is not None:
            raise
        return None
    if origin.masks is None:
        return masks.of_data(data_set, part, split)
    height, width = split.inputs.take(torch.zeros(1, dtype=torch.int64)).shape[2:]
    return masks.of_folder(origin.masks, data_set, origin.root, split, (height, width))


def _tokens(work: Work, data: Data, origin: Origin) -> dict[str, list[dict[str, Any]]]:
    """What each word of the examples adds to the logit, by run."""
    from evenhand.explanations import tokens

    options = dict(data.options)
    texts = tokens.texts_of(origin.name or data.name, work.split, work.rows, root=origin.root, **options)
    found = {}
    for each in work.subjects:
        targets = each.targets(work.rows, work.request.target).tolist()
        found[each.name] = [
            {"row": one.row, "words": list(one.words), "scores": [float(score) for score in one.scores]}
            for one in tokens.attribute(each.model, work.split, work.rows, targets, texts)
        ]
        if work.on_rows:
            work.on_rows(len(work.rows))
    return found


def _columns(work: Work, data: Data) -> dict[str, dict[str, Any]]:
    """What each column of the examples adds to the logit, by run, and its mean strength over a sample of each group."""
    from evenhand.explanations import columns

    found, split = {}, work.split
    for each in work.subjects:
        rows = choosing.sample(each.judged, work.request.energy_rows, split.n_groups).tolist()
        own, wide = (
            columns.attribute(each.model, data, split, some, each.targets(some, work.request.target).tolist())
            for some in (work.rows, rows)
        )
        strength_GF = columns.strength(wide, each.judged.group_N[rows].tolist(), split.n_groups)
        found[each.name] = {
            "names": list(own.names),
            "rows": work.rows,
            "scores": own.scores_BF.tolist(),
            "mean_rows": len(rows),
            "mean_by_group": without_nan(dict(zip(work.groups, strength_GF.tolist(), strict=True))),
        }
        if work.on_rows:
            work.on_rows(len(work.rows) + len(rows))
    return found
