from __future__ import annotations

from typing import Any

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F

import tiny
from evenhand.batch import Split
from evenhand.errors import BadInput
from evenhand.methods._classes import class_balanced_weights
from evenhand.methods.efreweight import EFReweight, effective_frequency, prediction_bias
from evenhand.methods.erm import ERM

PROBABILITY = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3]], dtype=torch.float64)
Y = torch.tensor([0, 0, 1, 1])


def example_val() -> Split:
    """An echo model has these probabilities on it."""
    return Split.of(PROBABILITY.log(), Y)


def example_train(per_class: int = 1300) -> Split:
    y = torch.arange(2 * per_class) % 2
    return Split.of(torch.randn(len(y), 2, dtype=torch.float64), y)


def test_effective_frequency_and_prediction_bias_of_the_example() -> None:
    tiny.assert_values(effective_frequency(PROBABILITY, Y), 0.75, 0.55)
    own, others = prediction_bias(PROBABILITY, Y)
    tiny.assert_values(own, 1.5, 1.1)
    tiny.assert_values(others, 0.9, 0.5)


def test_weights_and_offsets_of_the_example() -> None:
    state: Any = EFReweight().start(example_train(), tiny.echo(), example_val())
    tiny.assert_values(state.frequency_C, 0.75, 0.55)
    tiny.assert_values(state.weight_C, 0.852417, 1.147583)
    tiny.assert_values(state.offset_C, -0.550046, -0.860201)
    inverse: Any = EFReweight(scale="fraction", beta=1.0).start(example_train(), tiny.echo(), example_val())
    tiny.assert_values(inverse.weight_C, 0.846154, 1.153846)


def test_fractions_leave_beta_almost_without_effect() -> None:
    frequency = torch.tensor([0.75, 0.55], dtype=torch.float64)
    near, limit = class_balanced_weights(frequency, 0.999), class_balanced_weights(frequency, 1.0)
    torch.testing.assert_close(near, limit, rtol=1e-3, atol=0)


def test_losses() -> None:
    train, model = example_train(50), tiny.echo()
    batch = tiny.whole(train)
    each = F.cross_entropy(batch.x, batch.y, reduction="none")
    for options, wanted in (
        ({"scale": "fraction", "beta": 1.0}, (torch.tensor([11 / 13, 15 / 13])[batch.y] * each).mean()),
        ({"beta": 0.0}, each.mean()),
        ({"variant": "logitadjust", "tau": 0.0}, each.mean()),
        (
            {"variant": "logitadjust"},
            F.cross_entropy(batch.x + torch.tensor([0.75, 0.55], dtype=torch.float64).log(), batch.y),
        ),
    ):
        method = EFReweight(**options)
        found = method.loss(batch, model, method.start(train, model, example_val()))
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=0)


def test_the_reference_is_taken_once_in_eval_mode() -> None:
    data, val = tiny.split(), tiny.split(seed=1)
    model = tiny.network()
    model.encoder.append(torch.nn.Dropout(0.9))
    model.train()
    method = EFReweight()
    state: Any = method.start(data, model, val)
    model.eval()
    wanted = effective_frequency(model(val.inputs.x).softmax(1), val.y)
    torch.testing.assert_close(state.frequency_C, wanted)
    tiny.train(method, model, data, val, state)
    torch.testing.assert_close(state.frequency_C, wanted)


def test_masses_add_up_to_the_class_counts_of_a_fitted_model() -> None:
    rng = torch.Generator().manual_seed(0)
    y = torch.arange(90) % 3
    x = torch.randn(90, 4, generator=rng, dtype=torch.float64) + y[:, None]
    fitted = LogisticRegression(C=1e6, max_iter=5000, tol=1e-10).fit(x, y)
    own, others = prediction_bias(torch.from_numpy(fitted.predict_proba(x)), y)
    torch.testing.assert_close(own + others, torch.full((3,), 30.0, dtype=torch.float64), rtol=1e-4, atol=0)


def test_the_reference_is_the_best_of_a_plain_training() -> None:
    plain, own = EFReweight(reference_epochs=3).stages()
    assert (plain.method, plain.epochs, plain.keep, own.restart) == (ERM(), 3, "best", True)
    assert not EFReweight(restart=False).stages()[1].restart


def test_a_class_of_which_validation_has_nothing_is_named() -> None:
    val = Split.of(PROBABILITY.log(), torch.zeros(4, dtype=torch.int64), n_classes=2)
    with pytest.raises(BadInput, match="EFReweight needs validation rows of every class; there are none of 1"):
        EFReweight().start(example_train(), tiny.echo(), val)
    with pytest.raises(BadInput, match="EFReweight needs a validation split"):
        EFReweight().start(example_train(), tiny.echo())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta": -0.1}, r"beta of EFReweight must be in \[0, 1\], got -0.1"),
        ({"tau": -1.0}, "tau of EFReweight must be at least 0, got -1.0"),
        ({"reference_epochs": 0}, "reference_epochs of EFReweight must be at least 1, got 0"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        EFReweight(**options)
