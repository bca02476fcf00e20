"""Where models look, and which words and columns decide: from the records of `evenhand explain`."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from evenhand import plots
from evenhand.explanations import tables as of_terminal
from evenhand.explanations.energy import OVERALL
from evenhand.plots.projections import by_error
from evenhand.projection import NAMES as PROJECTIONS
from evenhand.report.blocks import Block, Cell, Chart, Image, Images, Section, Table, Text
from evenhand.report.found import Found
from evenhand.report.sections import _planes
from evenhand.report.sections._planes import Panel
from evenhand.study.tables import signed

Record = dict[str, Any]
MOST_EXAMPLES = 4  # rows of pictures of a group
MOST_MAPS = 6  # pictures of a row, beside the image
MOST_BYTES = 200_000  # of a picture that is put into the page
DIFFERENCE_NOTE = (
    "Paired by row, 95 % intervals over rows, which do not cover the noise of training; pale where the interval "
    "includes 0."
)


def sections(found: Found) -> list[Section]:
    """One section for each explanation."""
    return [_section(number, path, record) for number, (path, record) in enumerate(found.explanations)]


def _section(number: int, path: Path, record: Record) -> Section:
    first = of_terminal.named(record["run"], record)
    title = f"What {first} looks at" if record["inputs"] == "images" else f"What decides for {first}"
    if record["against"]:
        title += f", beside {of_terminal.named(record['against'], record)}"
    blocks: list[Block] = [_lead(record)]
    if record.get("energy"):
        blocks += [_energy(record), Text(of_terminal.energies(record).notes, "note")]
        if record["energy"]["differences"]:
            blocks += [_differences(record), Text((DIFFERENCE_NOTE,), "note")]
    if record["inputs"] == "images":
        blocks += _pictures(record, _folder(path, record))
    elif record["inputs"] == "texts":
        blocks += _texts(record)
    else:
        blocks += [_strengths(record), Text(of_terminal.strengths(record).notes, "note")]
    blocks.append(_examples(record))
    if record.get("projection"):
        blocks += _plane(record)
    return Section("explanations" if number == 0 else f"explanations-{number + 1}", title, tuple(blocks))


def _plane(record: Record) -> Iterator[Block]:
    """Features of rows as points."""
    found = record["projection"]
    panels = [
        Panel(
            of_terminal.named(each["run"], record), each["epoch"], each["x"], each["y"],
            {
                "class": [found["classes"][y] for y in each["class"]],
                "group": [found["groups"][g] if found["groups"] and g >= 0 else "not known" for g in each["group"]],
                "error": by_error(each["wrong"]),
            },
            each["trust"], {"class": each["purity_class"], "group": each["purity_group"]},
            sum(each["wrong"]) / len(each["wrong"]),
        )
        for each in found["panels"]
    ]  # fmt: skip
    yield from _planes.blocks(
        panels, {"class": found["classes"], **({"group": found["groups"]} if found["groups"] else {})}
    )
    of = f"Each point is one of {len(panels[0].x)} rows of {record['split']}, by {PROJECTIONS[found['kind']]}"
    yield Text((f"{of}; axes have no scale.", _planes.TRUST_NOTE), "note")


def _lead(record: Record) -> Text:
    of = "the label" if record["target"] == "label" else "what the run predicts"
    how = {
        "images": f"Class activation maps of the layer {_layers(record)} show which places of an image speak for {of}",
        "texts": f"Scores of words say how much each adds to the logit of {of}",
        "table": f"Scores of columns say how much each adds to the logit of {of}",
    }[record["inputs"]]
    sentences = [f"{how}, on rows of {record['split']}."]
    energy = record.get("energy")
    if energy and energy["differences"]:
        sentences.append(_verdict(record))
    return Text((" ".join(sentences),), "lead")


def _layers(record: Record) -> str:
    return ", ".join(dict.fromkeys(record.get("layer", {}).values()))


def _verdict(record: Record) -> str:
    """Whether more of the run's energy lies on the object, over kinds of maps."""
    overall = [each for each in record["energy"]["differences"] if each["group"] == OVERALL]
    more = sum(each["low"] is not None and each["low"] > 0 for each in overall)
    less = sum(each["high"] is not None and each["high"] < 0 for each in overall)
    first, second = (of_terminal.named(record[which], record) for which in ("run", "against"))
    for count, word in ((more, "more"), (less, "less")):
        if overall and count == len(overall):
            return f"By every kind of map {word} of the energy of {first} lies on the object than of {second}."
    return (
        f"More of the energy of {first} than of {second} lies on the object by {more} of {len(overall)} kinds of maps, "
        f"less by {less}; by the others the two cannot be told apart."
    )


def _folder(path: Path, record: Record) -> Path:
    """Where the pictures are: beside the record, or where it says that they were written."""
    return path.parent if (path.parent / "images").is_dir() else Path(record.get("folder") or path.parent)


# --- energies ---


def _energy(record: Record) -> Chart:
    means = [each for each in record["energy"]["means"] if each["group"] == OVERALL]
    names = [of_terminal.titled(kind) for kind in record["kinds"]]
    at = {(each["run"], each["kind"]): each for each in means}
    series, intervals = {}, {}
    for run in of_terminal.runs(record):
        own = [at.get((run, kind)) for kind in record["kinds"]]
        name = of_terminal.named(run, record)
        series[name] = [_percent(each, "value") for each in own]
        intervals[name] = ([_percent(each, "low") for each in own], [_percent(each, "high") for each in own])
    figure = plots.bars(series, names, intervals=intervals, y_title="energy on the object, %")
    chance = 100 * means[0]["chance"] if means else 0.0
    figure.add_hline(
        y=chance, line={"dash": "dash", "width": 1.5},
        annotation={"text": "the same everywhere", "xanchor": "right", "yanchor": "bottom"},
    )  # fmt: skip
    figure.update_yaxes(rangemode="tozero")
    plain = of_terminal.energies(record)
    return Chart(
        "Share of a map's energy on the object, mean of groups",
        json.loads(figure.to_json()),
        f"Bars of the energy on the object for {len(names)} kinds of maps and {len(series)} runs; a map that is the "
        f"same everywhere has {chance:.1f} %. Error bars are 95 % intervals over rows.",
        _plain(plain),
    )


def _percent(each: Record | None, key: str) -> float | None:
    return None if each is None or each[key] is None else 100 * each[key]


def _plain(table: Any) -> Table:
    """A table of the terminal without its notes."""
    rows = tuple(tuple(Cell(cell.strip(), _sort(cell)) for cell in row) for row in table.rows)
    numeric = tuple(number not in table.text_columns for number in range(len(table.columns)))
    return Table(table.title, table.columns, rows, numeric)


def _sort(cell: str) -> float | None:
    try:
        return float(cell.split(maxsplit=1)[0].replace("−", "-"))
    except (ValueError, IndexError):
        return None


def _differences(record: Record) -> Table:
    found = record["energy"]["differences"]
    groups = of_terminal.ordered([*record["groups"], OVERALL], found)
    at = {(each["kind"], each["group"]): each for each in found}
    rows = []
    for kind in record["kinds"]:
        cells = [Cell(of_terminal.titled(kind))]
        for group in groups:
            each = at.get((kind, group))
            if each is None:
                cells.append(Cell("–"))
                continue
            sure = each["low"] is not None and (each["low"] > 0 or each["high"] < 0)
            interval = f" [{signed(each['low'])}, {signed(each['high'])}]" if each["low"] is not None else ""
            cells.append(Cell(f"{signed(each['value'])}{interval}", each["value"], "" if sure else "muted"))
        rows.append(tuple(cells))
    first, second = (of_terminal.named(record[which], record) for which in ("run", "against"))
    caption = f"Energy on the object of {first} minus that of {second}, percentage points"
    return Table(caption, ("map", *groups), tuple(rows), (False, *[True] * len(groups)))


# --- examples ---


def _pictures(record: Record, folder: Path) -> Iterator[Block]:
    runs, kinds = of_terminal.runs(record), record["kinds"]
    shown = kinds[: max(1, MOST_MAPS // len(runs))]
    names = [f"{run}/{kind}" for run in runs for kind in shown]
    columns = ("image", *(_column(name, record) for name in names))
    groups = dict.fromkeys(each["group"] for each in record["examples"])
    missing = 0
    for group in groups:
        images: list[Image] = []
        for each in _few([each for each in record["examples"] if each["group"] == group]):
            row = [_image(folder, each, name, record) for name in ("original", *names)]
            if all(row):
                images += [image for image in row if image]
            else:
                missing += 1
        if images:
            yield Images(f"{group}. The brighter, the more a place speaks for the class.", tuple(images), columns)
    if len(shown) < len(kinds):
        rest = ", ".join(of_terminal.titled(kind) for kind in kinds[len(shown) :])
        yield Text((f"The maps of {rest} are beside these in the sheets of {folder.name}.",), "note")
    if missing:
        yield Text(
            (f"The pictures of {missing} examples are not in {folder.name}; explain again to have them.",), "note"
        )


def _few(examples: Sequence[Record]) -> list[Record]:
    """Some of each reason in turn."""
    by_reason = {reason: [each for each in examples if each["reason"] == reason]
                 for reason in dict.fromkeys(each["reason"] for each in examples)}  # fmt: skip
    most = max((len(some) for some in by_reason.values()), default=0)
    turns = [some[k] for k in range(most) for some in by_reason.values() if k < len(some)][:MOST_EXAMPLES]
    return [each for each in examples if each in turns]


def _column(name: str, record: Record) -> str:
    run, _, kind = name.rpartition("/")
    kind = of_terminal.titled(kind)
    return f"{kind}, {of_terminal.named(run, record)}" if record["against"] else kind


def _image(folder: Path, example: Record, name: str, record: Record) -> Image | None:
    """A picture as a `data:` address; None where it is not there."""
    file = (folder / example["images"][name]).resolve()
    if not file.is_relative_to(folder.resolve()) or not file.is_file() or file.stat().st_size > MOST_BYTES:
        return None
    source = _address(file)
    if source is None:
        return None
    what = f"Row {example['row']}" if name == "original" else f"{_column(name, record)} of row {example['row']}"
    right = "right" if example["prediction"] == example["label"] else "wrong"
    caption = f"{example['row']}: {example['reason']}, {right}" if name == "original" else ""
    return Image(source, f"{what}, {example['group']}", caption)


def _address(file: Path) -> str | None:
    """A picture as a `data:` address, as JPEG, a fifth as large; None where the file is no picture."""
    from PIL import Image as Picture

    content = io.BytesIO()
    try:
        with Picture.open(file, formats=["PNG"]) as picture:
            picture.convert("RGB").save(content, "JPEG", quality=88)
    except (OSError, ValueError, Picture.DecompressionBombError):
        return None
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"


def _said(example: Record) -> str:
    other = "" if example["against_prediction"] is None else f", by the other run {example['against_prediction']}"
    right = "rightly" if example["prediction"] == example["label"] else "wrongly"
    return f"{right} predicted {example['prediction']}{other}"


def _texts(record: Record) -> Iterator[Block]:
    """A small table of words for each example: what adds to the logit, and what takes from it."""
    for run in of_terminal.runs(record):
        of_row = {each["row"]: each for each in record["tokens"][run]}
        rows = []
        for each in record["examples"]:
            words = list(zip(of_row[each["row"]]["words"], of_row[each["row"]]["scores"], strict=True))
            for_it = sorted((pair for pair in words if pair[1] > 0), key=lambda pair: -pair[1])[:6]
            against = sorted((pair for pair in words if pair[1] < 0), key=lambda pair: pair[1])[:6]
            text = " ".join(word for word, _ in words)
            cells = (each["group"], each["reason"], _cut(text), _listed(for_it), _listed(against), _said(each))
            rows.append(tuple(Cell(cell) for cell in cells))
        columns = ("group", "chosen as", "text", "words for it", "words against it", "prediction")
        yield Table(f"Words that decide for {run}, with what they add to the logit", columns, tuple(rows))


def _cut(text: str, most: int = 240) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _listed(words: Sequence[tuple[str, float]]) -> str:
    return ", ".join(f"{word} {score:+.2f}".replace("-", "−") for word, score in words)


def _strengths(record: Record) -> Chart:
    """Mean absolute scores of the strongest columns by group."""
    table = of_terminal.strengths(record)
    names = [row[0] for row in table.rows][::-1]
    series = {group: [_sort(row[k + 1]) for row in table.rows][::-1] for k, group in enumerate(table.columns[1:])}
    figure = plots.bars(series, names, horizontal=True, x_title="mean absolute addition to the logit")
    return Chart(
        f"Columns that decide for {record['run']}", json.loads(figure.to_json()),
        f"Bars of the mean absolute score of {len(names)} columns in {len(series)} groups.", _plain(table),
        height=120 + 20 * len(names) * max(len(series), 1),
    )  # fmt: skip


def _examples(record: Record) -> Table:
    table = _plain(of_terminal.examples(record))
    return Table(table.caption, table.columns, table.rows, table.numeric, folded=True)
