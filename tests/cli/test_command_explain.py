"""`evenhand explain`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from refusal import assert_refused

from evenhand import data, features, projection
from evenhand.execute import execute
from evenhand.explanations import masks
from evenhand.explanations.explain import Origin, explain
from evenhand.explanations.work import Request
from evenhand.plan import Plan
from evenhand.report.blocks import Chart, Charts, Images, Table, Text
from evenhand.report.found import Found, find
from evenhand.report.sections import explanations as section
from evenhand.runs import Run

pytest.importorskip("pytorch_grad_cam", reason="the extra explain is not installed")
SMALL: dict[str, Any] = {"epochs": 1, "widths": (4, 8)}
ENERGY_ROWS = ("--energy-rows", 6)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    """Two runs on a few digits."""
    out = tmp_path_factory.mktemp("digits")
    digits = data.load("digits", copies=1)
    return execute(digits, Plan("erm", settings=SMALL), out), execute(digits, Plan("rwg", settings=SMALL), out)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    from stored import trained

    run, _, path = trained(tmp_path_factory.mktemp("table"))
    return run, path


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    """A run on short texts of one's own."""
    folder = tmp_path_factory.mktemp("text")
    rows = ["text,y,source,split"]
    for part, n_rows in (("train", 24), ("val", 12), ("test", 12)):
        for k in range(n_rows):
            word = "good" if k % 2 else "bad"
            rows.append(f"a {word} film number {k % 5},{k % 2},{'ab'[k // 2 % 2]},{part}")
    (folder / "films.csv").write_text("\n".join(rows) + "\n")
    (folder / "films.toml").write_text(
        'path = "films.csv"\ntext = "text"\nlabel = "y"\nattributes = ["source"]\nsplit = "split"\n'
    )
    chosen = data.load(str(folder / "films.toml"))
    return execute(chosen, Plan("erm", settings={"epochs": 1}), folder / "runs"), folder / "films.toml"


def test_two_runs_on_digits_are_explained_beside_each_other(evenhand: Any, made: Any, tmp_path: Path) -> None:
    first, second = (each.folder for each in made)
    out = tmp_path / "found"
    done = evenhand(
        "explain",
        first,
        "--against",
        second,
        "--per-group",
        1,
        *ENERGY_ROWS,
        "--out",
        out,
        "--json",
        tmp_path / "e.json",
    )
    assert (done.code, done.err) == (0, "")
    for part in (
        "Share of a map's energy on the object, %", "the same everywhere",
        "Energy on the object of erm minus that of rwg", "Examples of val, explained for their label",
        "Maps of the layer encoder.5 (8×8 places).", f"Written to {out}",
    ):  # fmt: skip
        assert part in done.out
    record = json.loads((out / "explanation.json").read_text())
    assert json.loads((tmp_path / "e.json").read_text()) == record | {"folder": str(out.resolve())}
    assert (record["kind"], record["run"], record["against"]) == ("explanation", first.name, second.name)
    assert (record["split"], record["target"], record["layer"][first.name]) == ("val", "label", "encoder.5")
    kinds = ["gradcam", "gradcam++", "ablation", "hires", "layer"]
    assert record["kinds"] == kinds
    for each in record["examples"]:
        names = {"original", *(f"{run}/{kind}" for run in (first.name, second.name) for kind in kinds)}
        assert set(each["images"]) == names
        for file in each["images"].values():
            assert max(Image.open(out / file).size) == 160
        assert each["reason"] != "worst" or each["prediction"] != each["label"]
    assert {each["group"] for each in record["sheets"]} == {each["group"] for each in record["examples"]}
    for each in record["sheets"]:
        width, height = Image.open(out / each["file"]).size
        assert width > 11 * 160
        assert height > 160
    assert record["energy"]["rows"] == 24
    assert {each["run"] for each in record["energy"]["means"]} == {first.name, second.name}
    assert all(0.1 < each["chance"] < 0.2 for each in record["energy"]["means"])
    assert {each["kind"] for each in record["energy"]["differences"]} == set(kinds)


def test_it_is_written_beside_the_run_and_the_same_each_time(evenhand: Any, made: Any) -> None:
    folder = made[0].folder
    options = ("--kinds", "hires", "--rows", "3,1", "--target", "prediction", *ENERGY_ROWS)
    out = folder.parent / f"explanation-{folder.name}"
    contents = []
    for _ in range(2):
        assert evenhand("explain", folder, *options).code == 0
        contents.append({path.name: path.read_bytes() for path in sorted(out.rglob("*.*")) if path.is_file()})
    assert contents[0] == contents[1]
    record = json.loads((out / "explanation.json").read_text())
    assert sorted(each["row"] for each in record["examples"]) == [1, 3]
    assert {each["reason"] for each in record["examples"]} == {"named"}
    assert record["against"] is None


def test_features_are_shown_on_a_plane(evenhand: Any, made: Any, tmp_path: Path) -> None:
    run = made[0]
    options = ("--kinds", "hires", "--rows", "3", *ENERGY_ROWS, "--projection", "pca", "--out", tmp_path)
    done = evenhand("explain", run.folder, *options)
    assert (done.code, done.err) == (0, "")
    assert "Features on a plane" in done.out
    found = json.loads((tmp_path / "explanation.json").read_text())["projection"]
    (panel,) = found["panels"]
    encoded = features.encoded(features.load_model(run, features.data_of(run)), features.data_of(run), "val", most=2000)
    plane_N2 = projection.project(encoded.features.numpy(), "pca")
    np.testing.assert_allclose([panel["x"], panel["y"]], (plane_N2 / abs(plane_N2).max()).T, atol=6e-4)
    assert panel["wrong"] == (encoded.logits.argmax(1) != encoded.y).tolist()
    assert (panel["epoch"], panel["class"]) == ("selected", encoded.y.tolist())
    assert 0.5 < panel["purity_class"] <= 1
    assert 0.5 < panel["trust"] <= 1
    (section_,) = section.sections(find(tmp_path))
    drawn = [block.title for block in section_.blocks if isinstance(block, Charts)]
    assert drawn == ["Features by class", "Features by group", "Features by error"]


def test_the_epochs_of_a_tracked_run_are_shown_side_by_side(tmp_path: Path) -> None:
    digits = data.load("digits", copies=1)
    run = execute(digits, Plan("erm", settings={**SMALL, "epochs": 2}, track="collapse"), tmp_path)
    found = explain(run, digits, Request(("hires",), rows=(0,), energy_rows=3, projection="pca")).record["projection"]
    assert [panel["epoch"] for panel in found["panels"]] == ["first", "last"]
    points = run.points()
    assert points is not None
    assert found["panels"][1]["wrong"] == (points["predicted_last_N"] != points["y_N"]).tolist()


def test_maps_of_the_test_rows_are_made_on_request(made: Any) -> None:
    digits = features.data_of(made[0])
    request = Request(("hires",), ("typical",), 1, part="test", energy_rows=3)
    found = explain(made[0], digits, request)
    assert (found.record["split"], len(found.record["examples"])) == ("test", 4)
    stored = made[0].predictions()
    own = stored.filter(stored["split"] == "test")
    for each in found.record["examples"]:
        logits = own.filter(own["row"] == each["row"]).select("logit_0", "logit_1").row(0)
        assert each["prediction"] == digits.val.class_names[int(np.argmax(logits))]


def test_masks_of_the_digits_are_those_of_their_rows(made: Any) -> None:
    digits = features.data_of(made[0])
    known = masks.of_data(masks.opened("digits", digits.options), "val", digits.val)
    assert known is not None
    found, there = known([7, 2])
    assert found.shape == (2, 32, 32)
    assert there.all()
    x = digits.val.inputs.take(__import__("torch").tensor([7, 2])).numpy().mean(axis=1)
    for image, mask in zip(x, found, strict=True):  # the ink is lighter than any background
        assert image[mask].mean() > image[~mask].mean() + 0.3


def test_masks_may_come_from_files_by_the_number_of_the_row(evenhand: Any, made: Any, tmp_path: Path) -> None:
    folder = tmp_path / "masks"
    folder.mkdir()
    left = np.zeros((64, 64), dtype=np.uint8)
    left[:, :32] = 255
    for row in range(0, 200, 2):
        Image.fromarray(left).save(folder / f"{row}.png")
    digits = features.data_of(made[0])
    found = explain(made[0], digits, Request(("hires",), ("typical",), 1), origin=Origin("digits", masks=folder))
    energy = found.record["energy"]
    assert energy["rows"] + energy["without_mask"] == 400
    assert all(each["chance"] == pytest.approx(0.5) for each in energy["means"])
    empty = tmp_path / "empty"
    empty.mkdir()
    base = ("explain", made[0].folder, "--out", tmp_path / "out", "--masks")
    assert_refused(evenhand(*base, empty), "holds no pictures")
    assert_refused(evenhand(*base, tmp_path / "nowhere"), "must be a folder of pictures")
    Image.fromarray(left).save(empty / "none.png")
    assert_refused(evenhand(*base, empty), "no mask is there for any of the")


def test_columns_of_a_table_are_explained(evenhand: Any, table: Any, tmp_path: Path) -> None:
    pytest.importorskip("captum", reason="the extra explain is not installed")
    run, path = table
    done = evenhand("explain", run.folder, "--data", path, "--out", tmp_path / "found", "--choose", "typical")
    assert (done.code, done.err) == (0, "")
    assert "Strength of columns for" in done.out
    record = json.loads((tmp_path / "found" / "explanation.json").read_text())
    own = record["columns"][run.folder.name]
    assert set(own["names"]) == {"skill", "luck"}
    assert np.shape(own["scores"]) == (len(record["examples"]), 2)
    assert set(own["mean_by_group"]) <= set(record["groups"])
    assert [path.name for path in (tmp_path / "found").iterdir()] == ["explanation.json"]


def test_words_of_texts_are_explained(evenhand: Any, text: Any, tmp_path: Path) -> None:
    pytest.importorskip("captum", reason="the extra explain is not installed")
    run, path = text
    done = evenhand("explain", run.folder, "--data", path, "--out", tmp_path / "found", "--choose", "typical")
    assert (done.code, done.err) == (0, "")
    record = json.loads((tmp_path / "found" / "explanation.json").read_text())
    for each in record["tokens"][run.folder.name]:
        assert each["words"][0] == "a"
        assert len(each["words"]) == len(each["scores"]) == 5
    found = section.sections(find(tmp_path / "found"))[0]
    words = next(block for block in found.blocks if isinstance(block, Table))
    assert "film" in words.rows[0][2].text


def test_what_cannot_be_explained_is_refused(evenhand: Any, made: Any, table: Any, tmp_path: Path) -> None:
    first = made[0].folder
    out = ("--out", tmp_path / "out")
    assert_refused(evenhand("explain", tmp_path, *out), "is not a finished run")
    assert_refused(evenhand("explain", first, "--against", tmp_path, *out), "is not a finished run")
    assert_refused(evenhand("explain", first, "--against", first, *out), "is compared with another one")
    assert_refused(evenhand("explain", first, "--kinds", "gradcan", *out), "did you mean 'gradcam'?")
    assert_refused(evenhand("explain", first, "--choose", "best", *out), "unknown choice of examples")
    assert_refused(evenhand("explain", first, "--choose", "disagreement", *out), "--against")
    assert_refused(evenhand("explain", first, "--rows", "a", *out), "--rows takes numbers of rows")
    assert_refused(evenhand("explain", first, "--rows", "99999", *out), "there is no row 99999")
    assert_refused(evenhand("explain", first, "--layer", "encoder.77", *out), "unknown layer")
    assert_refused(evenhand("explain", first, "--layer", "classifier", *out), "which has no places")
    run, path = table
    assert_refused(evenhand("explain", run.folder, "--data", path, "--masks", tmp_path, *out), "holds no images")
    assert_refused(evenhand("explain", run.folder, "--against", first, "--data", path, *out), "other data")
    assert not (tmp_path / "out").exists()


# --- the part of the page ---


def test_the_page_shows_energies_pictures_and_examples(evenhand: Any, made: Any, tmp_path: Path) -> None:
    first, second = (each.folder for each in made)
    out = tmp_path / "found"
    assert (
        evenhand("explain", first, "--against", second, "--kinds", "hires,layer", *ENERGY_ROWS, "--out", out).code == 0
    )
    (found,) = section.sections(find(out))
    assert (found.id, found.title) == ("explanations", "What erm looks at, beside rwg")
    lead, chart, _, differences, *_ = found.blocks
    assert isinstance(lead, Text)
    assert "Class activation maps of the layer encoder.5" in lead.paragraphs[0]
    assert isinstance(chart, Chart)
    assert [bar["name"] for bar in chart.figure["data"]] == ["erm", "rwg"]
    assert isinstance(differences, Table)
    assert len(differences.rows) == 2
    shown = [block for block in found.blocks if isinstance(block, Images)]
    assert len(shown) == 4
    for block in shown:
        assert block.columns == ("image", "HiResCAM, erm", "LayerCAM, erm", "HiResCAM, rwg", "LayerCAM, rwg")
        assert len(block.images) % 5 == 0
        assert all(each.source.startswith("data:image/jpeg;base64,") and each.alt for each in block.images)
    assert found.blocks[-1].folded  # type: ignore[union-attr]


def test_pictures_outside_the_folder_are_not_shown(made: Any, tmp_path: Path) -> None:
    digits = features.data_of(made[0])
    record = explain(made[0], digits, Request(("hires",), ("typical",), 1, energy_rows=3)).record
    (tmp_path / "secret.png").write_bytes(b"x")
    for each in record["examples"]:
        each["images"]["original"] = "../secret.png"
    found = Found(tmp_path, explanations=[(tmp_path / "found" / "explanation.json", record)])
    (only,) = section.sections(found)
    assert not any(isinstance(block, Images) for block in only.blocks)
    assert any("explain again" in block.paragraphs[0] for block in only.blocks if isinstance(block, Text))
