"""`evenhand explain`: where a finished run looks, or which words and columns decide, on examples of each group."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from evenhand.cli._arguments import Json, Root
from evenhand.cli._output import check_writable, say, write_result
from evenhand.errors import BadInput

if TYPE_CHECKING:
    from evenhand.explanations.work import Explanation
    from evenhand.runs import Run

RECORD = "explanation.json"


def explain(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run's folder.")],
    *,
    against: Annotated[
        Path | None, typer.Option(metavar="RUN2", help="Another finished run on the same data, to compare with.")
    ] = None,
    kinds: Annotated[
        str,
        typer.Option(metavar="gradcam,gradcam++,ablation,hires,layer", help="Of images: kinds of maps; default all."),
    ] = "gradcam,gradcam++,ablation,hires,layer",
    choose: Annotated[
        str | None,
        typer.Option(
            metavar="worst,typical,disagreement",
            help="Which rows of each group: the largest losses among its errors; those nearest to its mean loss; what "
            "only one of both runs has right. Default: worst and typical, with --against all three.",
        ),
    ] = None,
    per_group: Annotated[int, typer.Option(metavar="N", help="Rows of each group for each choice.")] = 3,
    rows: Annotated[
        str | None, typer.Option(metavar="N,N,…", help="Explain these rows of the split in the place of chosen ones.")
    ] = None,
    split: Annotated[Literal["val", "test"], typer.Option(help="Whose rows.")] = "val",
    target: Annotated[
        Literal["label", "prediction"],
        typer.Option(help="Explain the logit of the label, or of what the run predicts."),
    ] = "label",
    layer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Of images: the layer of the maps; default the last that tells places apart."
        ),
    ] = None,
    masks: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Of images: where objects are, in pictures named as the images or by the number of the row.",
        ),
    ] = None,
    energy_rows: Annotated[
        int, typer.Option(metavar="N", help="Rows of each group that averages over a group are taken from.")
    ] = 100,
    projection: Annotated[
        str | None,
        typer.Option(
            metavar="umap|tsne|pca",
            help="Also show features of up to 2000 rows on a plane, by class, group and error; of tracked runs the "
            "first epoch beside the last.",
        ),
    ] = None,
    root: Root = None,
    data: Annotated[
        str | None, typer.Option(metavar="FILE", help="The file of one's own that the run was trained on.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The folder to write; default explanation-RUN beside the run."),
    ] = None,
    device: Annotated[Literal["auto", "cpu", "cuda", "mps"], typer.Option(help="Where the models work.")] = "auto",
    json: Json = None,
) -> int:
    """Show what a finished run's predictions rest on, for the worst and the typical rows of each group.

    Images are explained by class activation maps of the given kinds, laid over the images; where it is known which
    pixels are the object, by how much of each map's energy lies on it. Of texts and tables it is words and columns.
    Rows are those of validation unless --split says otherwise.

    \b
    Example:
      evenhand explain runs/digits/groupdro-seed0-9adaf35aa7a8 --against runs/digits/erm-seed0-2fc698f5373a
    """
    from evenhand.cli import _tables
    from evenhand.explanations.tables import tables

    check_writable(json)
    own, other = _run(run), None if against is None else _run(against)
    folder = _folder(run, out)
    wanted = {
        "kinds": _names(kinds),
        "reasons": _reasons(choose, against=other is not None),
        "per_group": per_group,
        "rows": _numbers(rows),
        "part": split,
        "target": target,
        "layer": layer,
        "energy_rows": energy_rows,
        "projection": projection or "",
    }
    found = _explained(own, other, wanted, root, data=data, masks=masks, device=device)
    _write(found, folder)
    _tables.show(tables(found.record))
    _say_where(found.record, folder)
    write_result(json, {**found.record, "folder": str(folder.resolve())})
    return 0


def _run(folder: Path) -> Run:
    from evenhand.runs import Run

    if not (folder / "config.json").is_file():
        raise BadInput(f"{folder} is not a finished run: it has no config.json")
    return Run(folder)


def _folder(run: Path, out: Path | None) -> Path:
    """Where to write, which can be made."""
    folder = out or run.resolve().parent / f"explanation-{run.resolve().name}"
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"--out must be a folder, and {folder} is a file")
    check_writable(folder / RECORD if folder.is_dir() else folder.absolute())
    return folder


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _reasons(choose: str | None, *, against: bool) -> tuple[str, ...]:
    if choose is None:
        return ("worst", "typical", "disagreement") if against else ("worst", "typical")
    return _names(choose)


def _numbers(text: str | None) -> tuple[int, ...]:
    parts = _names(text or "")
    if text is not None and not (parts and all(part.isdecimal() for part in parts)):
        raise BadInput(f"--rows takes numbers of rows with commas between them, such as 1,2,3, got {text!r}")
    return tuple(int(part) for part in parts)


def _explained(
    run: Run,
    against: Run | None,
    wanted: dict[str, Any],
    root: Path | None,
    *,
    data: str | None,
    masks: Path | None,
    device: str,
) -> Explanation:
    from evenhand import features
    from evenhand.cli import _progress
    from evenhand.explanations.choosing import check_reasons
    from evenhand.explanations.explain import Origin, explain
    from evenhand.explanations.work import Request

    check_reasons(wanted["reasons"], against=against is not None)
    request = Request(**wanted)
    with _progress.decoding():
        chosen = features.data_of(run, root, data)
    origin = Origin(data or run.config["data"]["name"], root, masks)
    from lightning_fabric import Fabric  # seconds to import, and only needed here

    at = Fabric(accelerator=device, devices=1).device
    with _progress.rows("explained", None) as on_rows:
        return explain(run, chosen, request, against, origin, device=at, on_rows=on_rows)


def _write(found: Explanation, folder: Path) -> None:
    """Pictures first, then the record that names them, each whole or not at all."""
    from evenhand.files import cannot_write, write_atomically, write_json

    for file, content in found.files.items():
        path = folder / file
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(path, error) from error
        write_atomically(path, content)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / RECORD, found.record)


def _say_where(record: dict[str, Any], folder: Path) -> None:
    if record["inputs"] == "images":
        layers = dict.fromkeys(
            f"{name} ({height}×{width} places)"
            for name, (height, width) in zip(record["layer"].values(), record["grid"].values(), strict=True)
        )
        say(f"Maps of the layer {', '.join(layers)}.")
        names = ", ".join(each["file"] for each in record["sheets"])
        say(f"Written to {folder}: {RECORD}, a sheet of pictures for each group ({names}), and single ones.")
    else:
        say(f"Written to {folder}: {RECORD}.")
