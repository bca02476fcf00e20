"""Runs that begin with weights from a file are told apart by its content."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import safetensors.torch
import torch

from evenhand import encoders, runs
from evenhand.batch import Split
from evenhand.data._base import Data, Sealed
from evenhand.errors import BadInput
from evenhand.execute import execute
from evenhand.plan import Plan, new_model, resolve


def split(seed: int) -> Split:
    x = torch.randn(60, 4, generator=torch.Generator().manual_seed(seed))
    return Split.of(x, (x[:, 0] > 0).long(), torch.arange(60) % 2)


@pytest.fixture
def data() -> Data:
    recommended = {"encoder": "mlp", "epochs": 1, "batch_size": 30, "widths": (6,)}
    return Data("tiny", split(0), split(1), Sealed(split(2)), "abc", recommended)


def name_of(data: Data, weights: str) -> str:
    return runs.run_name(resolve(Plan("erm", settings={"weights": weights}), data)[2])


def test_the_configuration_names_the_content_of_a_file_and_nothing_else(tmp_path: Path, data: Data) -> None:
    file = tmp_path / "w.pt"
    torch.save(encoders.build("mlp", (4,), 2, widths=(6,)).encoder.state_dict(), file)
    config = resolve(Plan("erm", settings={"weights": str(file)}), data)[2]
    assert config["weights_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert "weights_sha256" not in resolve(Plan("erm"), data)[2]
    before = name_of(data, str(file))
    assert name_of(data, str(file)) == before
    torch.save(encoders.build("mlp", (4,), 2, widths=(6,)).encoder.state_dict(), file)
    assert name_of(data, str(file)) != before


def test_resolving_reads_no_weights_but_wants_the_file(tmp_path: Path, data: Data) -> None:
    (tmp_path / "w.pt").write_text("no weights")
    name_of(data, str(tmp_path / "w.pt"))
    with pytest.raises(BadInput, match="there is no file"):
        name_of(data, str(tmp_path / "absent.pt"))


def test_a_run_continues_from_the_weights_of_another(tmp_path: Path, data: Data) -> None:
    first = execute(data, Plan("erm"), tmp_path)
    second = execute(data, Plan("erm", settings={"weights": str(first.folder), "lr": 1e-9}), tmp_path)
    assert second.folder != first.folder
    before, after = (safetensors.torch.load_file(run.folder / "model.safetensors") for run in (first, second))
    torch.testing.assert_close(after["encoder.0.weight"], before["encoder.0.weight"], atol=1e-6, rtol=0)
    assert not torch.allclose(after["classifier.weight"], before["classifier.weight"])


def test_weights_that_do_not_fit_leave_no_run_behind(tmp_path: Path, data: Data) -> None:
    first = execute(data, Plan("erm"), tmp_path)
    with pytest.raises(BadInput, match=r"holds encoder.0.weight of shape \(6, 4\); the encoder mlp wants \(5, 4\)"):
        execute(data, Plan("erm", settings={"weights": str(first.folder), "widths": (5,)}), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([first.folder.name, "evenhand.json"])


def test_new_models_begin_with_the_weights(tmp_path: Path, data: Data) -> None:
    encoder = encoders.build("mlp", (4,), 2, widths=(6,)).encoder
    torch.save(encoder.state_dict(), tmp_path / "w.pt")
    settings = resolve(Plan("erm", settings={"weights": str(tmp_path / "w.pt")}), data)[1]
    assert torch.equal(new_model(settings, data).encoder(torch.ones(1, 4)), encoder(torch.ones(1, 4)))
