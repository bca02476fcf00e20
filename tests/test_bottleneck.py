"""A linear layer to few features before the classifier: trained, stored and loaded like the rest of the encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from evenhand import runs
from evenhand.batch import Split
from evenhand.data._base import Data, Sealed
from evenhand.errors import BadInput
from evenhand.evaluation import predict
from evenhand.execute import execute
from evenhand.features import load_model
from evenhand.plan import Plan, new_model, resolve
from evenhand.settings import Settings
from tiny import split

SHAPES = {"mlp": (5,), "small_cnn": (3, 8, 8)}


def tiny(encoder: str) -> Data:
    widths = (6,) if encoder == "mlp" else (4, 4)
    train, val, test = (split(80, seed=seed, shape=SHAPES[encoder]) for seed in range(3))
    recommended = {"encoder": encoder, "widths": widths, "epochs": 2, "batch_size": 20}
    return Data("tiny", train, val, Sealed(test), f"of-{encoder}", recommended)


def test_features_are_so_many_and_linear_in_those_of_the_encoder() -> None:
    data = tiny("mlp")
    wide, narrow = (new_model(Settings(widths=(6,), bottleneck=width), data) for width in (None, 3))
    assert wide.classifier.in_features == 6
    assert narrow.classifier.weight.shape == (2, 3)
    body, narrowing = narrow.encoder
    assert isinstance(narrowing, nn.Linear)
    x = torch.randn(7, 5)
    torch.testing.assert_close(narrow.encoder(x), body(x) @ narrowing.weight.T + narrowing.bias)


@pytest.mark.parametrize("encoder", SHAPES)
@pytest.mark.parametrize(
    ("method", "options"),
    [("erm", {}), ("ncdebias", {"warm_start": 1}), ("dfr", {}), ("etf", {})],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_runs_are_trained_stored_and_loaded(encoder: str, method: str, options: dict[str, int], tmp_path: Path) -> None:
    data = tiny(encoder)
    run = execute(data, Plan(method, options, {"bottleneck": 3}), tmp_path)
    assert run.config["settings"]["bottleneck"] == 3
    model = load_model(run, data)
    assert model.classifier.in_features == 3
    val: Split = data.val
    stored = run.predictions().filter(split="val").select("logit_0", "logit_1").to_numpy()
    np.testing.assert_allclose(predict(model, val), stored, rtol=1e-4, atol=1e-5)
    assert execute(data, Plan(method, options, {"bottleneck": 3}), tmp_path).folder == run.folder


def test_the_bottleneck_is_trained(tmp_path: Path) -> None:
    data = tiny("mlp")
    slow, fast = (execute(data, Plan("erm", settings={"bottleneck": 3, "lr": lr}), tmp_path) for lr in (1e-9, 1e-2))
    before, after = (load_model(run, data).encoder[1].weight for run in (slow, fast))
    assert not torch.allclose(before, after, atol=1e-3)


def test_without_one_a_run_is_named_as_before_there_were_any(tmp_path: Path) -> None:
    data = tiny("mlp")
    config = resolve(Plan("erm"), data)[2]
    assert "bottleneck" not in config["settings"]
    assert resolve(Plan("erm", settings={"bottleneck": None}), data)[2] == config
    assert runs.run_name(resolve(Plan("erm", settings={"bottleneck": 3}), data)[2]) != runs.run_name(config)
    run = execute(data, Plan("erm"), tmp_path)
    assert load_model(run, data).classifier.in_features == 6


def test_checkpoints_know_settings_by_a_text_that_is_the_same_as_before() -> None:
    assert "bottleneck" not in repr(Settings())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bottleneck": 0}, "bottleneck must be at least 1 or none, got 0"),
        ({"bottleneck": "x"}, "option bottleneck of training takes a whole number, got 'x'"),
        ({"bottleneck": 3, "pretrain": "barlowtwins"}, "bottleneck must be none with pretrain"),
    ],
)
def test_bad_input(settings: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput) as caught:
        resolve(Plan("erm", settings=settings), tiny("mlp"))
    assert message in str(caught.value)
