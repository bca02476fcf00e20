from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import nn

import tiny
from evenhand.batch import Split
from evenhand.errors import BadInput
from evenhand.methods.dfr import DFR
from evenhand.methods.erm import ERM
from evenhand.model import Model
from evenhand.settings import Settings
from evenhand.train import fit


def spurious(counts: tuple[int, ...] = (120, 20, 20, 120), *, seed: int = 0, features: int = 6) -> Split:
    """Groups (y, a): the first feature tells y weakly, the second tells a clearly; float64."""
    rng = torch.Generator().manual_seed(seed)
    group = torch.repeat_interleave(torch.arange(4), torch.tensor(counts))
    y, a = group // 2, group % 2
    x = torch.randn(len(y), features, generator=rng, dtype=torch.float64)
    x[:, 0] += 2.0 * y - 1
    x[:, 1] += 6.0 * a - 3
    return Split.of(5 + 3 * x, y, a)


def plain(features: int = 6, classes: int = 2, *, bias: bool = True) -> Model:
    """A model whose features are its inputs."""
    torch.manual_seed(0)
    return Model.linear(nn.Identity(), features, classes, bias=bias).double()


def refit(data: Split, val: Split | None = None, **options: Any) -> tuple[Model, Any]:
    model = plain(data.inputs.x.shape[1], data.n_classes)
    return model, DFR(**options).start(data, model, val)


def accuracies(model: Model, data: Split) -> list[float]:
    right = (model(data.inputs.x).argmax(1) == data.y).double()
    return [right[data.group == g].mean().item() for g in range(4)]


# --- the published procedure, with scikit-learn ---


def test_agrees_with_refits_by_scikit_learn() -> None:
    """All groups equally large: every subsample is the whole split, so that draws do not matter."""
    data = spurious((50, 50, 50, 50))
    for C in (1.0, 0.05):
        model, _ = refit(data, C=(C,), subsamples=2)
        x = StandardScaler().fit_transform(data.inputs.x.numpy())
        theirs = LogisticRegression(C=C, l1_ratio=1, solver="liblinear", tol=1e-8).fit(x, data.y.numpy())
        ours = model(data.inputs.x).diff(dim=1).squeeze(1)
        wanted = torch.from_numpy(theirs.decision_function(x))
        assert (ours - wanted).abs().max() < 0.05 * wanted.abs().max()


def test_worst_group_is_that_of_the_published_procedure_and_beats_plain_training() -> None:
    data, test = spurious((600, 60, 60, 600)), spurious((500, 500, 500, 500), seed=9)
    model, _ = refit(data)
    x = StandardScaler().fit(data.inputs.x.numpy())
    rng = np.random.default_rng(0)
    layers = []
    for _ in range(20):
        rows = np.concatenate([rng.permutation(np.flatnonzero(data.group.numpy() == g))[:60] for g in range(4)])
        fitted = LogisticRegression(C=0.3, l1_ratio=1, solver="liblinear")
        fitted.fit(x.transform(data.inputs.x.numpy()[rows]), data.y.numpy()[rows])
        layers.append(np.append(fitted.coef_[0], fitted.intercept_))
    layer = np.mean(layers, axis=0)
    guess = x.transform(test.inputs.x.numpy()) @ layer[:-1] + layer[-1] > 0
    right = torch.from_numpy(guess) == test.y.bool()
    published = min(right[test.group == g].double().mean().item() for g in range(4))
    plain_fit = LogisticRegression(C=1e6).fit(data.inputs.x.numpy(), data.y.numpy())
    plainly = torch.from_numpy(plain_fit.predict(test.inputs.x.numpy())) == test.y
    assert min(accuracies(model, test)) == pytest.approx(published, abs=0.02)
    assert min(accuracies(model, test)) > 0.05 + min(plainly[test.group == g].double().mean().item() for g in range(4))


def test_refits_are_averaged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two refits with (coefficient, intercept) (1, 0) and (3, 2) give (2, 1)."""
    found = (
        torch.tensor([[[-0.5], [0.5]], [[-1.5], [1.5]]], dtype=torch.float64),
        torch.tensor([[0.0, 0], [-1, 1]], dtype=torch.float64),
    )
    monkeypatch.setattr(DFR, "_layers", lambda self, *args, **options: found)
    data = Split.of(torch.randn(8, 1, dtype=torch.float64), torch.arange(8) % 2, torch.arange(8) // 4)
    model, _ = refit(data, C=(1.0,), subsamples=2)
    tiny.assert_values(model.classifier.weight.diff(dim=0), 2)
    tiny.assert_values(model.classifier.bias.diff(), 1)


# --- draws ---


def test_a_draw_has_as_many_of_every_group_as_the_rarest_has() -> None:
    data = spurious((467, 466, 133, 133))
    weight_NS = DFR()._drawn(data, torch.arange(len(data)), 3)
    assert weight_NS.count_nonzero(0).tolist() == [532] * 3
    for s in range(3):
        assert data.group[weight_NS[:, s] > 0].bincount().tolist() == [133] * 4
    torch.testing.assert_close(weight_NS.sum(0), torch.ones(3))
    assert not torch.equal(weight_NS[:, 0], weight_NS[:, 1])
    everything = DFR(balance=False)._drawn(data, torch.arange(len(data)), 3)
    assert everything.shape == (1199, 1)
    assert bool((everything > 0).all())


def test_halves_share_out_every_group() -> None:
    data = spurious((9, 4, 1, 30))
    rows, _, judge = DFR()._judges(data.inputs.x, data, plain(), None)
    assert data.group[rows].bincount(minlength=4).tolist() == [5, 2, 1, 15]
    assert judge.group.bincount(minlength=4).tolist() == [4, 2, 0, 15]


# --- tuning ---


def test_the_first_of_the_best_is_taken() -> None:
    data = spurious((50, 50, 50, 50), seed=3)
    x = data.inputs.x.clone()
    x[:, 0] = 100.0 * data.y  # any C is right everywhere
    easy = Split.of(x, data.y, data.attributes)
    for grid in ((0.3, 1.0), (1.0, 0.3)):
        _, state = refit(easy, C=grid)
        assert state.C.item() == pytest.approx(grid[0])


def test_a_penalty_that_leaves_no_weight_is_not_chosen() -> None:
    _, state = refit(spurious(), C=(1e-6, 1.0))
    assert state.C.item() == 1.0


def test_class_weights_are_tried_on_each_class() -> None:
    # Without balance, class 1 is rare: its weight evens the groups out.
    data = spurious((200, 200, 20, 20), seed=2)
    _, alone = refit(data, C=(1.0,), balance=False)
    model, state = refit(data, C=(1.0,), balance=False, class_weights=(10.0, 100.0))
    assert state.upweight_C.tolist() == [1.0, 10.0]
    assert alone.upweight_C.tolist() == [1.0, 1.0]
    unweighted, _ = refit(data, C=(1.0,), balance=False)
    assert min(accuracies(model, data)) > min(accuracies(unweighted, data))


def test_on_train_validation_judges() -> None:
    data, val = spurious(), spurious(seed=1)
    _, state = refit(data, val, fit_on="train", C=(1e-6, 0.5))
    assert state.C.item() == 0.5
    _, alone = refit(data, fit_on="train", C=(0.5,))
    assert alone.C.item() == 0.5
    with pytest.raises(BadInput, match="DFR needs a validation split"):
        refit(data, fit_on="train")


# --- scalers ---


@pytest.mark.parametrize("scaler", ["fit", "train", "published"])
def test_scalers_take_the_rows_they_name(scaler: Any) -> None:
    train, val = spurious(seed=4), spurious(seed=5)
    train = Split.of(2 * train.inputs.x, train.y, train.attributes)
    method, model = DFR(scaler=scaler, C=(1.0, 0.1)), plain()
    # A stage on "val" is given validation as its split; the others need both.
    state: Any = method.start(val if scaler == "fit" else train, model, val)
    source = (val if scaler == "fit" else train).inputs.x
    torch.testing.assert_close(state.mean_D, source.mean(0))
    torch.testing.assert_close(state.scale_D, source.std(0, unbiased=False))
    assert method.stages()[1].split == ("val" if scaler == "fit" else "train")


def test_the_result_does_not_depend_on_the_scale_of_features() -> None:
    data = spurious((50, 50, 50, 50))
    other = Split.of(data.inputs.x * torch.tensor([1, 10, 0.1, 5, 1, 2.0]) - 7, data.y, data.attributes)
    (first, _), (second, _) = refit(data, C=(0.3,)), refit(other, C=(0.3,))
    torch.testing.assert_close(first(data.inputs.x), second(other.inputs.x), atol=1e-6, rtol=1e-6)


def test_a_constant_feature_is_no_obstacle() -> None:
    data = spurious()
    x = data.inputs.x.clone()
    x[:, 3] = 4.0
    model, _ = refit(Split.of(x, data.y, data.attributes))
    assert bool(torch.isfinite(model(x)).all())


def test_without_a_bias_features_are_not_centred() -> None:
    data, model = spurious(), plain(bias=False)
    state: Any = DFR().start(data, model)
    assert torch.count_nonzero(state.mean_D) == 0
    assert model.classifier.bias is None


# --- the objective ---


@pytest.mark.parametrize(("classes", "multiclass"), [(2, "softmax"), (3, "softmax"), (3, "ovr")])
@pytest.mark.parametrize("intercept", ["penalised", "free"])
def test_start_finds_the_minimum_of_the_loss(classes: int, multiclass: Any, intercept: Any) -> None:
    rng = torch.Generator().manual_seed(0)
    y, a = torch.arange(120) % classes, torch.arange(120) // 60
    x = torch.randn(120, 5, generator=rng, dtype=torch.float64) + y[:, None] * torch.tensor([1, 0.5, 0, 0, 0])
    data = Split.of(x, y, a)
    method = DFR(C=(0.3,), multiclass=multiclass, intercept=intercept)
    model = plain(5, classes)
    state = method.start(data, model)
    batch = tiny.whole(data)
    least = method.loss(batch, model, state).item()
    for seed in range(20):
        torch.manual_seed(seed)
        for size in (1e-1, 1e-2):
            moved = plain(5, classes)
            moved.load_state_dict(model.state_dict())
            with torch.no_grad():
                for parameter in moved.classifier.parameters():
                    parameter.add_(size * torch.randn_like(parameter))
            assert method.loss(batch, moved, state).item() > least * (1 - 1e-4)


def test_loss_weighs_groups_equally() -> None:
    data = spurious((40, 10, 10, 20))
    model, state = refit(data, C=(1e9,), intercept="free")
    each = nn.functional.cross_entropy(model(data.inputs.x), data.y, reduction="none")
    wanted = torch.stack([each[data.group == g].mean() for g in range(4)]).mean()
    found = DFR(intercept="free").loss(tiny.whole(data), model, state)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=0)


# --- in training ---


@pytest.mark.parametrize("fit_on", ["val", "train"])
def test_fit_refits_the_last_layer_after_plain_training(fit_on: Any) -> None:
    train, val = tiny.split(200), tiny.split(200, seed=1)
    model = tiny.network()
    settings = Settings(epochs=1, batch_size=50, device="cpu")
    fitted = fit(model, DFR(fit_on=fit_on), train, val, settings)
    assert [(record["stage"], record["epoch"]) for record in fitted.history] == [(0, 0), (1, 0)]
    plainly = fit(tiny.network(), ERM(), train, val, settings).model
    encoder = fitted.model.encoder.state_dict()
    assert all(torch.equal(encoder[key], value) for key, value in plainly.encoder.state_dict().items())
    assert not torch.equal(fitted.model.classifier.weight, plainly.classifier.weight)


def test_features_are_taken_in_eval_mode() -> None:
    data, model = spurious(), plain()
    model.encoder = nn.Sequential(nn.BatchNorm1d(6).double(), nn.Dropout(0.5))
    model.train()
    before = model.encoder[0].running_mean.clone()
    DFR().start(data, model)
    assert torch.equal(model.encoder[0].running_mean, before)
    assert model.training


# --- errors ---


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"C": ()}, r"C of DFR must be values above 0, got \(\)"),
        ({"C": (1.0, 0.0)}, "C of DFR must be values above 0"),
        ({"class_weights": (0.0,)}, "class_weights of DFR must be values above 0"),
        ({"subsamples": 0}, "subsamples of DFR must be at least 1, got 0"),
        ({"erm_epochs": 0}, "erm_epochs of DFR must be at least 1, got 0"),
        ({"fit_on": "train", "scaler": "published"}, "scaler=published of DFR is for fit_on=val only"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        DFR(**options)


def test_what_is_missing_is_named() -> None:
    val = spurious()
    with pytest.raises(BadInput, match="DFR needs group labels in validation"):
        DFR(scaler="train").start(val.without_groups(), plain(), val.without_groups())
    one_class = Split.of(val.inputs.x, torch.zeros_like(val.y), val.attributes, n_classes=2)
    with pytest.raises(BadInput, match="DFR needs rows of every class to fit on; there are none of 1"):
        DFR().start(one_class, plain())
