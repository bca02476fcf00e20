"""Images explained: maps of where each run looks, laid over the examples, and how much of them lies on the object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from evenhand.errors import BadInput
from evenhand.explanations import cams, choosing, energy, masks, pictures
from evenhand.explanations.layers import Layer, find_layer
from evenhand.explanations.tables import titled
from evenhand.explanations.work import Explanation, Subject, Work

FOLDER = "images"  # of single pictures
OfRun = dict[str, cams.Maps]


def explained(work: Work, record: dict[str, Any], found: masks.Found | None) -> Explanation:
    """The record with maps of the examples, their files, and energies where masks are known.

    Raises:
        BadInput: a network has no layer with places, or no row has a mask.
    """
    first = work.split.inputs.take(torch.zeros(1, dtype=torch.int64))
    layers = {each.name: find_layer(each.model, first.to(each.device), work.request.layer) for each in work.subjects}
    about = {
        "kinds": list(work.request.kinds),
        "layer": {name: layer.name for name, layer in layers.items()},
        "grid": {name: list(layer.grid) for name, layer in layers.items()},
    }
    shown = {each.name: _maps(work, each, layers[each.name], work.rows) for each in work.subjects}
    examples, sheets, files = _pictures(work, record, shown)
    of_energy = None if found is None else _energy(work, layers, found)
    return Explanation({**record, **about, "examples": examples, "sheets": sheets, "energy": of_energy}, files)


def _maps(work: Work, subject: Subject, layer: Layer, rows: Sequence[int]) -> OfRun:
    request, parts = work.request, []
    for some in torch.split(torch.tensor(list(rows), dtype=torch.int64), cams.ROWS):
        x = work.split.inputs.take(some).to(subject.device)
        targets = subject.targets(some.tolist(), request.target).to(subject.device)
        parts.append(cams.maps(subject.model, x, targets, request.kinds, layer=layer))
        if work.on_rows:
            work.on_rows(len(some))
    return {kind: np.concatenate([part[kind] for part in parts]) for kind in request.kinds}


def _energy(work: Work, layers: Mapping[str, Layer], found: masks.Found) -> dict[str, Any]:
    """Energies inside the masks over a sample of each group."""
    request, judged = work.request, work.subjects[0].judged
    rows = choosing.sample(judged, request.energy_rows, work.split.n_groups)
    masks_BHW, known_B = found(rows.tolist())
    if not known_B.any():
        raise BadInput(
            f"no mask is there for any of the {len(rows)} rows of {request.part} that were looked for: files are named "
            "as the images, or by the number of the row"
        )
    rows, masks_BHW = rows[known_B], masks_BHW[known_B]
    values = {
        each.name: {
            kind: energy.inside(maps, masks_BHW)
            for kind, maps in _maps(work, each, layers[each.name], rows.tolist()).items()
        }
        for each in work.subjects
    }
    summary = energy.summary(values, energy.area(masks_BHW), judged.group_N[rows], work.groups)
    return {"rows": len(rows), "without_mask": int((~known_B).sum()), **summary}


def _pictures(
    work: Work, record: Mapping[str, Any], shown: Mapping[str, OfRun]
) -> tuple[list[dict[str, Any]], list[dict[str, str]], dict[str, bytes]]:
    """The examples with the names of their pictures, the sheets of the groups, and all files."""
    files: dict[str, bytes] = {}
    examples, lines = [], dict[str, list[pictures.Line]]()
    x_BCHW = work.split.inputs.take(torch.tensor(work.rows)).float().cpu().numpy()
    for k, example in enumerate(record["examples"]):
        plain = pictures.original(x_BCHW[k])
        made = {"original": plain}
        for run, kinds in shown.items():
            made |= {f"{run}/{kind}": pictures.overlay(plain, maps[k]) for kind, maps in kinds.items()}
        names = {name: f"{FOLDER}/{example['row']}-{name.replace('/', '-').replace('+', 'p')}.png" for name in made}
        files |= {names[name]: pictures.png(picture) for name, picture in made.items()}
        examples.append({**example, "images": names})
        lines.setdefault(example["group"], []).append(pictures.Line(said(example, record), tuple(made.values())))
    columns = [("", ["image"]), *((run, [titled(kind) for kind in kinds]) for run, kinds in shown.items())]
    target = "the label" if record["target"] == "label" else "what the run predicts"
    sheets = [{"group": group, "file": f"sheet-{number}.png"} for number, group in enumerate(lines)]
    for each in sheets:
        title = f"{each['group']}: evidence for {target} ({record['data']['name']}, {record['split']})"
        files[each["file"]] = pictures.png(pictures.sheet(title, columns, lines[each["group"]]))
    return examples, sheets, files


def said(example: Mapping[str, Any], record: Mapping[str, Any]) -> tuple[tuple[str, bool | None], ...]:
    """Lines beside an example's pictures, each with whether it is right or wrong, or None for neither."""
    label, other = example["label"], example["against_prediction"]
    lines: list[tuple[str, bool | None]] = [
        (f"row {example['row']}, {example['reason']}", None),
        (f"label {label}", None),
    ]
    if other is None:
        return (*lines, (f"predicted {example['prediction']}", example["prediction"] == label))
    names = [record["method"][record[which]] for which in ("run", "against")]
    names = names if len(set(names)) == 2 else ["first run", "second run"]
    both = zip(names, (example["prediction"], other), strict=True)
    return (*lines, *((f"{name}: {prediction}", prediction == label) for name, prediction in both))
