"""Models of finished runs, and features that are written once."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import polars
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from torch import nn

from evenhand import data, encoders, features, runs
from evenhand.auditing.reading import run_names
from evenhand.batch import Split, TensorInputs
from evenhand.data import _feature_file
from evenhand.data._base import Data, Sealed
from evenhand.errors import BadInput, RunFailed
from evenhand.evaluation import predict
from evenhand.execute import execute
from evenhand.files import TEMPORARY, write_json
from evenhand.model import Model
from evenhand.plan import Plan
from evenhand.runs import Run
from stored import stored, trained
from table import write_table


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Data, Path]:
    return trained(tmp_path_factory.mktemp("made"))


@pytest.fixture
def own(tmp_path: Path) -> tuple[Run, Data, Path]:
    """A run of the test's own, to be damaged."""
    return trained(tmp_path)


# --- models ---


@pytest.mark.parametrize("settings", [{}, {"widths": "6,3"}])
def test_the_model_of_a_run_gives_its_predictions_bit_for_bit(tmp_path: Path, settings: dict[str, Any]) -> None:
    run, chosen, _ = trained(tmp_path, **settings)
    model = features.load_model(run, chosen)
    rows = run.predictions().filter(polars.col("split") == "val")
    assert torch.equal(predict(model, chosen.val), torch.tensor(rows.select("logit_0", "logit_1").to_numpy()))
    assert not model.training


def test_the_weights_that_a_run_began_with_are_not_needed_again(tmp_path: Path) -> None:
    x = torch.rand(24, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    split = Split.of(x, torch.arange(24) % 2, torch.arange(24) // 2 % 2)
    images = Data("images", split, split, Sealed(split), "abc", {"encoder": "resnet10_small", "epochs": 1})
    file = tmp_path / "encoder.safetensors"
    encoder = encoders.build("resnet10_small", (3, 16, 16), 2, widths=(4, 8)).encoder
    safetensors.torch.save_file(encoder.state_dict(), file)
    run = execute(images, Plan("erm", settings={"weights": str(file), "widths": (4, 8)}), tmp_path / "runs")
    file.unlink()
    model = features.load_model(run, images)
    rows = run.predictions().filter(polars.col("split") == "val")
    torch.testing.assert_close(
        predict(model, images.val), torch.tensor(rows.select("logit_0", "logit_1").to_numpy()), atol=1e-5, rtol=1e-5
    )


def test_data_of_another_fingerprint_are_refused(made: Any, tmp_path: Path) -> None:
    run, _, _ = made
    other = data.load(str(write_table(tmp_path, rows=200)))
    with pytest.raises(BadInput, match=r"was trained on other data: people \[\w{8}\] there, people \[\w{8}\] here"):
        features.load_model(run, other)


@pytest.mark.parametrize("keep", [0, 5, 200])
def test_weights_that_are_cut_off_are_named(own: Any, keep: int) -> None:
    run, chosen, _ = own
    file = run.folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(BadInput, match=r"model\.safetensors is damaged and cannot be read"):
        features.load_model(run, chosen)


def test_weights_of_another_shape_are_named(own: Any) -> None:
    run, chosen, _ = own
    file = run.folder / "model.safetensors"
    weights = safetensors.numpy.load_file(file)
    weights["classifier.weight"] = weights["classifier.weight"][:, :3].copy()
    safetensors.numpy.save_file(weights, file)
    with pytest.raises(BadInput, match=r"holds other weights than .* classifier\.weight"):
        features.load_model(run, chosen)


def test_a_run_without_weights_or_settings_is_named(own: Any) -> None:
    run, chosen, _ = own
    (run.folder / "model.safetensors").unlink()
    with pytest.raises(BadInput, match=r"is not a finished run: it has no model\.safetensors"):
        features.load_model(run, chosen)
    write_json(run.folder / "config.json", {"data": run.config["data"]})
    with pytest.raises(BadInput, match=r"config\.json names no method or no settings"):
        features.load_model(Run(run.folder), chosen)
    write_json(run.folder / "config.json", {})
    with pytest.raises(BadInput, match=r"config\.json does not name its data"):
        features.load_model(Run(run.folder), chosen)


def test_a_run_that_trained_nothing_has_no_model(own: Any) -> None:
    run, chosen, _ = own
    config = json.loads((run.folder / "config.json").read_text())
    config["method"] = {"name": "clip", "options": {}}
    (run.folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(BadInput, match="is of clip, which trains nothing: it has no model to load"):
        features.load_model(Run(run.folder), chosen)


def test_the_data_of_a_run_are_opened_again(made: Any, tmp_path: Path) -> None:
    run, chosen, path = made
    assert features.data_of(run, path=str(path)).fingerprint == chosen.fingerprint
    with pytest.raises(BadInput, match="a file of one's own, people; name that file with --data"):
        features.data_of(run)
    with pytest.raises(BadInput, match="was trained on other data"):
        features.data_of(run, path=str(write_table(tmp_path, rows=200)))


def test_data_with_options_are_opened_with_them(tmp_path: Path) -> None:
    chosen = data.load("digits", copies=1, seed=3)
    config = {"data": {"name": "digits", "fingerprint": chosen.fingerprint, "options": {"copies": 1, "seed": 3}}}
    write_json(tmp_path / "config.json", config)
    assert features.data_of(Run(tmp_path)).fingerprint == chosen.fingerprint
    write_json(tmp_path / "config.json", {"data": {**config["data"], "options": {"copies": 1}}})
    with pytest.raises(BadInput, match="was trained on other data"):
        features.data_of(Run(tmp_path))


def test_random_weights_are_those_of_seed_0(made: Any) -> None:
    _, chosen, _ = made
    torch.manual_seed(5)
    first, second = (features.encoder_of(chosen, "mlp", "none") for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    with pytest.raises(BadInput, match="unknown encoder 'mpl'; did you mean 'mlp'"):
        features.encoder_of(chosen, "mpl", "none")


# --- names ---


def test_a_run_knows_what_its_classes_and_attributes_are_called(made: Any) -> None:
    run, _, _ = made
    assert run.metrics["labels"] == {
        "label": "hired", "classes": ["no", "yes"], "attributes": [{"name": "sex", "values": ["f", "m"]}],
    }  # fmt: skip


def test_without_names_there_are_numbers() -> None:
    split = Split.of(torch.zeros(6, 1), torch.arange(6) % 3, (torch.arange(6) % 2, torch.zeros(6).long()))
    assert runs.labels(split) == {
        "label": "y",
        "classes": ["0", "1", "2"],
        "attributes": [{"name": "a0", "values": ["0", "1"]}, {"name": "a1", "values": ["0"]}],
    }
    assert runs.labels(split.without_groups())["attributes"] == []


@pytest.mark.parametrize("old", [False, True])
def test_the_audit_names_classes_and_values_of_old_runs_and_new(own: Any, old: bool) -> None:
    run, _, _ = own
    if old:
        write_json(run.folder / "metrics.json", {k: v for k, v in run.metrics.items() if k != "labels"})
    classes, values = run_names.read(run.folder, ["attribute_sex"])
    assert classes == ["hired=no", "hired=yes"]
    assert values == {"attribute_sex": {0: "f", 1: "m"}}


def test_stored_names_may_hold_what_separates_those_of_groups(own: Any) -> None:
    run, _, _ = own
    names = {"label": "y", "classes": ["a, b=c", "d"], "attributes": [{"name": "x", "values": ["e, f", "g=h"]}]}
    write_json(run.folder / "metrics.json", {"labels": names})
    assert run_names.read(run.folder, ["attribute_x"]) == (
        ["y=a, b=c", "y=d"], {"attribute_x": {0: "e, f", 1: "g=h"}},
    )  # fmt: skip
    write_json(run.folder / "metrics.json", {"labels": {"label": "y"}})
    assert run_names.read(run.folder, ["attribute_x"]) == ([], {})


# --- files ---


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 0.0), ("float16", 1e-3)])
def test_features_are_those_of_the_encoder_in_eval_mode(
    tmp_path: Path, precision: features.Precision, tolerance: float
) -> None:
    file, run, chosen = stored(tmp_path, precision)
    model = features.load_model(run, chosen)
    with torch.no_grad():
        for part, split in (("train", chosen.train), ("val", chosen.val), ("test", chosen.test.unseal())):
            wanted = model.encoder(split.batch(torch.arange(len(split))).x)
            found = torch.from_numpy(file.array(f"{part}.features")).float()
            torch.testing.assert_close(found, wanted, atol=tolerance, rtol=tolerance)
            assert file.array(f"{part}.y").tolist() == split.y.tolist()
            assert file.array(f"{part}.attributes").tolist() == split.attributes.tolist()
            assert file.array(f"{part}.rows").tolist() == list(range(len(split)))


def test_the_file_can_be_read_by_the_safetensors_library(tmp_path: Path) -> None:
    file, run, chosen = stored(tmp_path)
    found = safetensors.numpy.load_file(file.path)
    assert {name: array.shape for name, array in found.items()} == {k: p.shape for k, p in file.places.items()}
    for name, array in found.items():
        assert (array == file.array(name)).all()
    with safetensors.safe_open(file.path, "numpy") as opened:
        facts = json.loads(opened.metadata()["evenhand"])
    assert facts["encoder"]["run"] == run.folder.name
    assert facts["data"] == {"name": "people", "fingerprint": chosen.fingerprint}
    assert facts["labels"] == runs.labels(chosen.train)
    assert file.damage() is None


def test_writing_again_gives_the_same_file(tmp_path: Path) -> None:
    first, second = (stored(folder)[0] for folder in _two_folders(tmp_path))
    assert first.path.read_bytes() == second.path.read_bytes()
    assert first.fingerprint == second.fingerprint


def _two_folders(parent: Path) -> list[Path]:
    folders = [parent / "a", parent / "b"]
    for folder in folders:
        folder.mkdir()
    return folders


def test_what_is_there_is_found_and_anything_else_refused(tmp_path: Path) -> None:
    file, run, chosen = stored(tmp_path)
    model = features.load_model(run, chosen)
    facts = features.identity(model, chosen, {"run": run.folder.name}, "float32")
    found = features.find(file.path, facts)
    assert found is not None
    assert found.fingerprint == file.fingerprint
    assert features.find(tmp_path / "other.safetensors", facts) is None
    half = features.identity(model, chosen, {"run": run.folder.name}, "float16")
    with pytest.raises(
        BadInput, match=r"holds other features: erm-seed0\S+ \[\w{8}\] of people .*, float32 there, .*16"
    ):
        features.find(file.path, half)
    with torch.no_grad():
        next(model.encoder.parameters()).add_(1)
    with pytest.raises(BadInput, match="choose another --out or remove it"):
        features.find(file.path, features.identity(model, chosen, {"run": run.folder.name}, "float32"))
    with pytest.raises(BadInput, match="is not a file of features"):
        features.find(run.folder / "model.safetensors", facts)


class Interrupting:
    """Inputs that fail, or give numbers that are not finite, from some row on."""

    augments = slow = False
    lengths: Any = None

    def __init__(self, n_rows: int, value: float | None) -> None:
        self.n_rows, self.value = n_rows, value

    def __len__(self) -> int:
        return self.n_rows

    def take(self, rows: torch.Tensor, rng: Any = None) -> torch.Tensor:
        if self.value is None and int(rows.max()) > 400:
            raise KeyboardInterrupt
        return torch.where(rows > 400, self.value or 0.0, 1.0)[:, None].expand(-1, 3)

    def to(self, device: torch.device) -> Interrupting:
        return self


def with_inputs(inputs: Any) -> tuple[Model, Data]:
    y = torch.arange(len(inputs)) % 2
    split = Split(inputs, y, 2, y[:, None], (2,))
    return Model.linear(nn.Flatten(), 3, 2), Data("tiny", split, split, Sealed(split), "abc", {})


@pytest.mark.parametrize(
    ("value", "precision", "error", "message"),
    [
        (None, "float32", KeyboardInterrupt, None),
        (float("nan"), "float32", RunFailed, "a feature of row 401 is infinite or not a number"),
        (1e6, "float16", RunFailed, "too large for float16; take --precision float32"),
    ],
)
def test_a_pass_that_fails_leaves_nothing(
    tmp_path: Path, value: float | None, precision: features.Precision, error: type[BaseException], message: str | None
) -> None:
    model, chosen = with_inputs(Interrupting(600, value))
    facts = features.identity(model, chosen, {"encoder": "identity"}, precision)
    with pytest.raises(error, match=message):
        features.extract(model, chosen, tmp_path / "f.safetensors", facts, device="cpu")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    model, chosen = with_inputs(Interrupting(10, 1.0))
    facts = features.identity(model, chosen, {"encoder": "identity"}, "float32")
    with pytest.raises(RunFailed, match=r"cannot write .*none/f\.safetensors"):
        features.extract(model, chosen, tmp_path / "none" / "f.safetensors", facts, device="cpu")


class Padded(TensorInputs):
    """Rows of different lengths, so that a pass takes them in another order."""

    @property
    def lengths(self) -> torch.Tensor:  # type: ignore[override]
        return -self.x[:, 0].long() % 7


def test_rows_taken_by_length_are_written_in_their_own_order(tmp_path: Path) -> None:
    x = torch.arange(900.0).view(300, 3)
    model, chosen = with_inputs(Padded(x))
    done: list[int] = []
    facts = features.identity(model, chosen, {"encoder": "identity"}, "float32")
    file = features.extract(model, chosen, tmp_path / "f.safetensors", facts, device="cpu", on_rows=done.append)
    for part in ("train", "val", "test"):
        assert file.array(f"{part}.features").tolist() == x.tolist()
    assert sum(done) == 900


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    peaks = []
    for n_rows in (20_000, 60_000):
        model, chosen = with_inputs(Interrupting(n_rows, 1.0))
        small = Split.of(torch.ones(2, 3), torch.arange(2), torch.arange(2))
        chosen = Data("tiny", chosen.train, small, Sealed(small), "abc", {})
        model = Model.linear(nn.Sequential(nn.Flatten(), nn.Linear(3, 256)), 256, 2)
        facts = features.identity(model, chosen, {"encoder": "identity"}, "float32")
        tracemalloc.start()
        features.extract(model, chosen, tmp_path / f"{n_rows}.safetensors", facts, device="cpu")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # NumPy's arrays are traced: the chunks of features, and the row indices (8 bytes each).
    assert peaks[1] < peaks[0] + 40_000 * 8 * 3
    assert peaks[1] < 60_000 * 256 * 4 / 4


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    stored(tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(TEMPORARY)]


def test_the_header_says_where_everything_is() -> None:
    header, places = _feature_file.arrange({"format": 1}, {"a": ("<f4", (2, 3)), "b": ("<i8", (5,))})
    assert len(header) % 8 == 0
    assert (places["a"].offset, places["b"].offset) == (len(header), len(header) + 24)
