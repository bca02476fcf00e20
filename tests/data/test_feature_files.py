"""Files of features as a data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch

from evenhand import data
from evenhand.cli import data as commands
from evenhand.data._base import Data
from evenhand.data._feature_file import FeatureFile
from evenhand.errors import BadInput
from evenhand.execute import execute
from evenhand.plan import Plan
from stored import stored


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[FeatureFile, Data]:
    file, _, chosen = stored(tmp_path_factory.mktemp("made"))
    return file, chosen


@pytest.fixture
def copy(made: Any, tmp_path: Path) -> Path:
    """The file, to be damaged."""
    path = tmp_path / "copy.safetensors"
    path.write_bytes(made[0].path.read_bytes())
    return path


def everything(split: Any) -> Any:
    return split.batch(torch.arange(len(split)))


def test_rows_labels_and_names_are_those_of_the_data(made: Any) -> None:
    file, chosen = made
    found = data.load(str(file.path))
    assert (found.name, found.fingerprint) == ("people", file.fingerprint)
    for part in ("train", "val"):
        mine, theirs = getattr(found, part), getattr(chosen, part)
        assert torch.equal(mine.y, theirs.y)
        assert torch.equal(mine.group, theirs.group)
        assert [mine.group_name(g) for g in range(4)] == [theirs.group_name(g) for g in range(4)]
        assert torch.equal(everything(mine).x, torch.from_numpy(file.array(f"{part}.features")))
    assert found.count_G["test"].tolist() == chosen.count_G["test"].tolist()
    assert not hasattr(found.test, "y"), "sealed again"


def test_the_path_is_no_part_of_what_identifies_the_data(made: Any, copy: Path) -> None:
    first, second = data.load(str(made[0].path)), data.load(str(copy))
    assert first.fingerprint == second.fingerprint
    assert (dict(first.options), dict(second.options)) == ({}, {})
    assert dict(data.load(str(copy), standardise=True).options) == {"standardise": True}


def test_standardised_features_have_mean_0_and_deviation_1_in_training(made: Any) -> None:
    path = str(made[0].path)
    plain, scaled = data.load(path), data.load(path, standardise="true")
    x = everything(plain.train).x.double()
    constant = x.std(0, correction=0) <= 1e-6 * x.mean(0).abs()
    wanted = torch.where(constant, 0, (x - x.mean(0)) / torch.where(constant, 1, x.std(0, correction=0)))
    torch.testing.assert_close(everything(scaled.train).x.double(), wanted, atol=1e-4, rtol=1e-4)
    v = everything(plain.val).x.double()
    wanted = torch.where(constant, 0, (v - x.mean(0)) / torch.where(constant, 1, x.std(0, correction=0)))
    torch.testing.assert_close(everything(scaled.val).x.double(), wanted, atol=1e-4, rtol=1e-4)


def test_a_constant_feature_becomes_0(tmp_path: Path, made: Any) -> None:
    from evenhand.data.features import _scale

    x = np.stack([np.full(1000, 3e4), np.zeros(1000), np.arange(1000.0)], axis=1).astype(np.float16)
    mean, scale = _scale(x, n_rows=77)
    assert scale[:2].tolist() == [0, 0]
    np.testing.assert_allclose(mean, x.astype(np.float64).mean(0), rtol=1e-6)
    np.testing.assert_allclose(1 / scale[2], x[:, 2].astype(np.float64).std(), rtol=1e-6)


def test_half_precision_is_delivered_in_single(tmp_path: Path) -> None:
    file, _, _ = stored(tmp_path, "float16")
    found = everything(data.load(str(file.path)).train).x
    assert found.dtype == torch.float32
    assert torch.equal(found, torch.from_numpy(file.array("train.features")).float())


def test_features_go_where_they_are_wanted(made: Any) -> None:
    inputs = data.load(str(made[0].path), standardise=True).train.inputs
    rows = torch.tensor([5, 0, 5])
    assert torch.equal(inputs.to(torch.device("cpu")).take(rows), inputs.take(rows))
    assert not inputs.slow
    moved = inputs.to(torch.device("meta"))
    assert moved.slow
    assert moved.take(rows).device.type == "meta"


@pytest.mark.parametrize("method", ["erm", "groupdro", "subg", "minimaxfair", "mmsgd", "hsic", "rwg", "mixup"])
def test_methods_train_a_classifier_on_them(made: Any, tmp_path: Path, method: str) -> None:
    found = data.load(str(made[0].path))
    run = execute(found, Plan(method, settings={"epochs": 40, "lr": 0.02, "batch_size": 32}), tmp_path)
    weights = safetensors.numpy.load_file(run.folder / "model.safetensors")
    assert sorted(weights) == ["classifier.bias", "classifier.weight"]
    assert run.metrics["test"]["accuracy"] > 0.6


def test_a_method_that_trains_only_the_encoder_says_that_there_is_none(made: Any, tmp_path: Path) -> None:
    found = data.load(str(made[0].path))
    with pytest.raises(
        BadInput, match="NCDebias trains the encoder only, which has no weights to train; choose another"
    ):
        execute(found, Plan("ncdebias"), tmp_path)
    run = execute(found, Plan("ncdebias", settings={"encoder": "mlp", "epochs": 1}), tmp_path)
    assert run.config["settings"]["encoder"] == "mlp"


# --- what is wrong ---


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_a_file_that_is_cut_off_is_named(copy: Path, keep: int) -> None:
    copy.write_bytes(copy.read_bytes()[:keep])
    with pytest.raises(BadInput, match=r"copy\.safetensors is (damaged: it has|not a file of features)"):
        data.load(str(copy))


def test_a_changed_byte_is_found_by_the_check(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.check(str(copy)) == 0
    content = bytearray(copy.read_bytes())
    content[-1] ^= 1
    copy.write_bytes(content)
    assert commands.check(str(copy)) == 1
    assert "its header says" in capsys.readouterr().out


def test_files_that_are_not_there_or_something_else(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"there is no file .*none\.safetensors"):
        data.load(str(tmp_path / "none.safetensors"))
    safetensors.numpy.save_file({"a": np.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(BadInput, match="is not a file of features written by `evenhand features`"):
        data.load(str(tmp_path / "other.safetensors"))
    for facts, message in (({"format": 2}, "of format 2, wanted 1"), ({"format": 1}, "lacks test.attributes")):
        safetensors.numpy.save_file(
            {"a": np.zeros(3, "f4")}, tmp_path / "x.safetensors", {"evenhand": json.dumps(facts)}
        )
        with pytest.raises(BadInput, match=message):
            data.load(str(tmp_path / "x.safetensors"))
    with pytest.raises(BadInput, match="give its path"):
        data.load("features")


def test_info_shows_the_groups(made: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.info(str(made[0].path), json=tmp_path / "info.json") == 0
    assert "encoder identity" in " ".join(capsys.readouterr().out.split())
    found = json.loads((tmp_path / "info.json").read_text())
    assert found["rows"] == {"train": 180, "val": 90, "test": 90}
    assert found["groups"][0]["values"] == {"hired": "no", "sex": "f"}
