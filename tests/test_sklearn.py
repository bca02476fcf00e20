"""`FairClassifier` is a scikit-learn estimator, by scikit-learn's own checks, and serves the worst-off group."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
import torch
from sklearn.base import clone
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from evenhand import methods
from evenhand.errors import BadInput, RunFailed
from evenhand.sklearn import FairClassifier

PLAIN: dict[str, Any] = {"method": "erm", "select": "average"}


class SplitsEachClass(FairClassifier):
    """scikit-learn's checks call `fit(X, y)`: here the sensitive feature follows from X, half of each class having it.

    Of rows sorted by class and first column every second one has it. What that cannot be computed from is for
    `FairClassifier` to refuse.
    """

    __doc__ = FairClassifier.__doc__  # one of the checks asks that the attributes are documented

    def fit(self, X: Any, y: Any) -> SplitsEachClass:
        try:
            labels = np.ravel(np.asarray(y)).astype(str)
            order = np.lexsort((np.asarray(X, dtype=float)[:, 0], labels))
        except (TypeError, ValueError, IndexError):
            return super().fit(X, y, sensitive_features=["unknown"])
        return super().fit(X, y, sensitive_features=np.argsort(order) % 2)


# Without sensitive features no check is excluded; with them, and default settings otherwise, one is.
EXCLUDED = {
    "check_fit2d_1feature": "its second class has 3 rows, so one of its two groups has a single row, "
    "which select=worst_group refuses: it cannot be both trained on and held out"
}


@pytest.mark.filterwarnings("ignore:Casting complex values")  # one check hands them in, to be refused
@parametrize_with_checks(
    [FairClassifier(method="erm", select="average"), SplitsEachClass()],
    expected_failed_checks=lambda estimator: EXCLUDED if isinstance(estimator, SplitsEachClass) else {},
)
def test_scikit_learn_checks(estimator: FairClassifier, check: Any) -> None:
    check(estimator)


def people(n: int, seed: int, aligned: float = 0.95) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A label told weakly by one column, and strongly by another that follows the attribute, not the label."""
    rng = np.random.default_rng(seed)
    y = rng.integers(2, size=n)
    a = np.where(rng.random(n) < aligned, y, 1 - y)
    told = np.stack((2 * y - 1 + rng.normal(size=n), 2 * (2 * a - 1) + 0.5 * rng.normal(size=n)), axis=1)
    return np.concatenate((told, rng.normal(size=(n, 3))), axis=1), y, a


def worst_group(y: Any, predicted: Any, sensitive_features: Any) -> float:
    right, a = predicted == y, np.asarray(sensitive_features)
    return min(float(right[(y == c) & (a == b)].mean()) for c in np.unique(y) for b in np.unique(a))


@pytest.fixture(scope="module")
def small() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return people(200, seed=3, aligned=0.8)


def quick(**parameters: Any) -> FairClassifier:
    return FairClassifier(**{"epochs": 3, "random_state": 0} | parameters)


# --- what it is for ---


def test_groupdro_serves_the_worst_group_better_than_erm() -> None:
    X, y, a = people(3000, seed=0)
    X_test, y_test, a_test = people(4000, seed=1, aligned=0.5)
    worst = {}
    for method, options in (("erm", {}), ("groupdro", {"step_size": 0.1})):
        model = FairClassifier(method, method_options=options, epochs=20, random_state=0)
        model.fit(X, y, sensitive_features=a)
        worst[method] = worst_group(y_test, model.predict(X_test), a_test)
    assert worst["groupdro"] > worst["erm"] + 0.1
    assert worst["groupdro"] > 0.75


def test_probabilities_decisions_and_predictions_agree(small: Any) -> None:
    X, y, a = small
    y = np.array(["low", "middle", "high"], dtype=object)[y + (X[:, 2] > 1)]
    model = quick(select="average").fit(X, y, sensitive_features=a)
    probability = model.predict_proba(X)
    assert probability.shape == model.decision_function(X).shape == (200, 3)
    np.testing.assert_allclose(probability.sum(axis=1), 1, rtol=1e-12)
    assert list(model.classes_) == ["high", "low", "middle"]
    np.testing.assert_array_equal(model.predict(X), model.classes_[probability.argmax(axis=1)])
    assert model.score(X, y) == accuracy_score(y, model.predict(X))


def test_of_two_classes_the_decision_is_positive_for_the_second(small: Any) -> None:
    X, y, a = small
    model = quick().fit(X, y, sensitive_features=a)
    decision = model.decision_function(X)
    np.testing.assert_array_equal(decision > 0, model.predict(X) == model.classes_[1])
    np.testing.assert_allclose(1 / (1 + np.exp(-decision)), model.predict_proba(X)[:, 1])


def test_the_selected_epoch_is_the_first_best_of_the_history(small: Any) -> None:
    X, y, a = small
    model = quick(epochs=8).fit(X, y, sensitive_features=a)
    scores = [record["score"] for record in model.history_]
    assert len(scores) == 8
    assert model.best_score_ == max(scores)
    assert model.best_epoch_ == scores.index(max(scores))


# --- what is held out ---


def test_a_fraction_of_each_group_is_held_out_and_one_row_at_least() -> None:
    y = np.repeat([0, 0, 1, 1], [40, 2, 20, 3])
    a = np.repeat(["m", "f", "m", "f"], [40, 2, 20, 3])
    model = quick(validation_fraction=0.25).fit(np.random.default_rng(0).normal(size=(65, 2)), y, sensitive_features=a)
    assert model.groups_ == {"y=0, a0=f": 1, "y=0, a0=m": 30, "y=1, a0=f": 2, "y=1, a0=m": 15}
    assert model.history_[0]["val"]["count"] == [1, 10, 1, 5]
    assert model.history_[0]["train"]["count"] == [1, 30, 2, 15]


def test_a_group_of_one_row_is_refused_by_worst_group_and_trained_on_otherwise(small: Any) -> None:
    X, y, _ = small
    a = np.where(np.arange(200) == np.flatnonzero(y == 1)[0], "rare", "common")
    a[np.flatnonzero(y == 0)[:5]] = "rare"
    with pytest.raises(BadInput, match=r"there are none of y=1, a0=rare.*only of groups of at least two"):
        quick().fit(X, y, sensitive_features=a)
    assert quick(select="worst_class").fit(X, y, sensitive_features=a).groups_["y=1, a0=rare"] == 1


def test_inputs_are_scaled_by_the_rows_that_are_trained_on(small: Any) -> None:
    X, y, a = small
    model = quick().fit(X[:100], y[:100], sensitive_features=a[:100], validation=(X[100:] + 50, y[100:], a[100:]))
    np.testing.assert_allclose(model.scaler_.mean_, X[:100].mean(axis=0))
    assert sum(model.groups_.values()) == 100
    unscaled = quick(standardize=False).fit(X, y, sensitive_features=a)
    np.testing.assert_array_equal(unscaled.scaler_.transform(X), X)


def test_a_constant_column_and_huge_scales_do_no_harm(small: Any) -> None:
    X, y, a = small
    X = np.column_stack((X * 1e30, np.full(200, 1e9)))
    assert quick(epochs=30).fit(X, y, sensitive_features=a).score(X, y) > 0.7
    with pytest.raises(BadInput, match="too large for 32-bit floats"):
        quick(standardize=False).fit(X * 1e30, y, sensitive_features=a)


# --- what may be handed in ---


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
def test_data_frames_give_what_arrays_give(frame: Any, small: Any) -> None:
    X, y, a = small
    names = [f"column {k}" for k in range(X.shape[1])]
    table = frame(dict(zip(names, X.T, strict=True)))
    labels = frame({"y": np.array(["no", "yes"])[y].tolist()})["y"]
    sensitive = frame({"sex": np.array(["f", "m"])[a].tolist()})
    by_table = quick().fit(table, labels, sensitive_features=sensitive["sex"])
    by_array = quick().fit(X, y, sensitive_features=a)
    np.testing.assert_array_equal(by_table.decision_function(table), by_array.decision_function(X))
    assert list(by_table.feature_names_in_) == names
    assert by_table.n_features_in_ == 5
    assert list(by_table.groups_) == ["y=no, sex=f", "y=no, sex=m", "y=yes, sex=f", "y=yes, sex=m"]
    assert list(quick().fit(table, labels, sensitive_features=sensitive).groups_) == list(by_table.groups_)
    assert set(by_table.predict(table)) <= {"no", "yes"}


def test_several_sensitive_features_are_crossed_into_the_combinations_that_occur(small: Any) -> None:
    X, y, a = small
    old = np.where(a == 1, True, np.arange(200) % 2 == 0)  # nobody is 1 and not old
    frame = pd.DataFrame({"sex": a, "old": old})
    by_frame = quick().fit(X, y, sensitive_features=frame)
    assert list(by_frame.groups_) == [
        f"y={c}, sex × old={value}" for c in (0, 1) for value in ("0 × False", "0 × True", "1 × True")
    ]
    by_array = quick().fit(X, y, sensitive_features=np.column_stack((a, old)))
    assert next(iter(by_array.groups_)) == "y=0, a0 × a1=0 × 0"
    by_rows = quick().fit(X, y, sensitive_features=[[s, o] for s, o in zip(a.tolist(), old.tolist(), strict=True)])
    assert next(iter(by_rows.groups_)) == "y=0, a0 × a1=0 × False"
    np.testing.assert_array_equal(by_frame.decision_function(X), by_array.decision_function(X))
    np.testing.assert_array_equal(by_frame.decision_function(X), by_rows.decision_function(X))


@pytest.mark.parametrize("values", [(True, False), (1, "one"), (0.5, -2), ((), "x")])
def test_sensitive_values_are_of_any_type(values: tuple[Any, Any], small: Any) -> None:
    X, y, a = small
    sensitive = pd.Series([values[k] for k in a], name="kind", dtype=object)
    texts = sorted(map(str, values))
    groups = quick().fit(X, y, sensitive_features=sensitive).groups_
    assert list(groups) == [f"y={c}, kind={text}" for c in (0, 1) for text in texts]


def test_groups_are_not_needed_where_nothing_uses_them(small: Any) -> None:
    X, y, _ = small
    for select in ("average", "worst_class"):
        model = quick(method="erm", select=select).fit(X, y)
        assert model.groups_ == {f"y={c}": int((y == c).sum() - round(0.25 * (y == c).sum())) for c in (0, 1)}


def test_a_method_of_ones_own_and_further_settings_are_taken(small: Any) -> None:
    X, y, a = small
    method = methods.make("groupdro", step_size=0.5)
    named = quick(method_options={"step_size": 0.5}, settings={"clip": 1.0, "schedule": "cosine"})
    own = clone(quick(method=method, settings={"clip": 1.0, "schedule": "cosine"}))
    results = [model.fit(X, y, sensitive_features=a).decision_function(X) for model in (named, own)]
    np.testing.assert_array_equal(*results)
    assert own.history_[1]["lr"] < own.history_[0]["lr"]


# --- the same again ---


def test_the_same_seed_is_bitwise_the_same_and_disturbs_no_generator(small: Any) -> None:
    X, y, a = small
    torch_state = torch.get_rng_state()
    np.random.seed(5)  # noqa: NPY002
    first, second, other = (quick(random_state=s).fit(X, y, sensitive_features=a) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.decision_function(X), second.decision_function(X))
    assert (first.decision_function(X) != other.decision_function(X)).any()
    assert torch.equal(torch.get_rng_state(), torch_state)
    drawn = np.random.rand()  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    assert drawn == np.random.rand()  # noqa: NPY002


def test_without_a_seed_numpy_decides(small: Any) -> None:
    X, y, a = small
    decisions = []
    for _ in range(2):
        np.random.seed(7)  # noqa: NPY002
        fits = [quick(random_state=None).fit(X, y, sensitive_features=a).decision_function(X) for _ in range(2)]
        assert (fits[0] != fits[1]).any()
        decisions.append(np.stack(fits))
    np.testing.assert_array_equal(*decisions)


def test_a_fitted_model_survives_pickling_and_cloning(small: Any) -> None:
    X, y, a = small
    model = quick().fit(X, y, sensitive_features=a)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.decision_function(X), model.decision_function(X))
    assert again.groups_ == model.groups_
    np.testing.assert_array_equal(
        clone(model).fit(X, y, sensitive_features=a).decision_function(X), model.decision_function(X)
    )


# --- with the rest of scikit-learn ---


def test_a_search_over_a_pipeline_routes_the_sensitive_features(small: Any) -> None:
    X, y, a = small
    with sklearn.config_context(enable_metadata_routing=True):
        scorer = make_scorer(worst_group)
        pipeline = make_pipeline(StandardScaler(), quick().set_fit_request(sensitive_features=True))
        search = GridSearchCV(
            pipeline,
            {"fairclassifier__method": ["erm", "groupdro"], "fairclassifier__epochs": np.array([1, 2])},
            scoring=scorer.set_score_request(sensitive_features=True),
            cv=2,
            error_score="raise",
        )
        search.fit(X, y, sensitive_features=pd.Series(a, name="sex"))
    assert search.cv_results_["mean_test_score"].shape == (4,)
    assert list(search.best_estimator_[-1].groups_) == [f"y={c}, sex={b}" for c in (0, 1) for b in (0, 1)]
    assert search.predict(X).shape == y.shape


# --- what is refused ---


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"method": "gruopdro"}, "unknown method 'gruopdro'; did you mean 'groupdro'"),
        ({"method_options": {"stepsize": 1}}, "did you mean 'step_size'"),
        ({"method": methods.make("erm"), "method_options": {"a": 1}}, "method_options go with the name of a method"),
        ({"select": "worst"}, "option select of FairClassifier"),
        ({"settings": {"momentom": 0.5}}, "unknown setting 'momentom'; did you mean 'momentum'"),
        ({"settings": {"seed": 1}}, "unknown setting 'seed'"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"epochs": 2.5}, "epochs of FairClassifier takes a whole number, got 2.5"),
        ({"lr": "fast"}, "lr of FairClassifier takes a finite number, got 'fast'"),
        ({"optimizer": "adma"}, "did you mean 'adam'"),
        ({"device": "gpu"}, "option device of FairClassifier"),
        ({"validation_fraction": 1.0}, "validation_fraction must lie strictly between 0 and 1, got 1.0"),
        ({"validation_fraction": "a"}, "validation_fraction must lie strictly between 0 and 1, got 'a'"),
        ({"widths": (8, 2.5)}, r"widths must be positive whole numbers.*got \(8, 2.5\)"),
        ({"widths": (8, 0)}, "widths must be positive whole numbers"),
        ({"widths": ()}, "widths must be positive whole numbers"),
        ({"random_state": "dice"}, "dice"),
    ],
)
def test_parameters_that_cannot_be_used_are_refused(parameters: dict[str, Any], message: str, small: Any) -> None:
    X, y, a = small
    with pytest.raises(ValueError, match=message):
        quick(**parameters).fit(X, y, sensitive_features=a)


def test_sensitive_features_that_are_needed_are_asked_for(small: Any) -> None:
    X, y, _ = small
    with pytest.raises(BadInput, match="method=groupdro needs groups: hand sensitive_features to fit"):
        quick(select="average").fit(X, y)
    with pytest.raises(BadInput, match="select=worst_group needs groups: hand sensitive_features to fit"):
        quick(method="erm").fit(X, y)


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT])
def test_missing_sensitive_values_are_refused(missing: Any, small: Any) -> None:
    X, y, a = small
    sensitive = a.astype(object)
    sensitive[7] = missing
    with pytest.raises(BadInput, match=r"missing value in row 7 \(counted from 0\)"):
        quick().fit(X, y, sensitive_features=sensitive)


def test_sensitive_features_of_the_wrong_shape_are_refused(small: Any) -> None:
    X, y, a = small
    for wrong in (a[:-1], a[:, None, None], np.empty((200, 0)), "sex", 3):
        with pytest.raises(BadInput, match="for each of the 200 rows of X; got shape"):
            quick().fit(X, y, sensitive_features=wrong)
    with pytest.raises(BadInput, match="at least two attribute values"):
        quick().fit(X, y, sensitive_features=np.zeros(200))


def test_a_single_class_is_refused(small: Any) -> None:
    X, _, a = small
    with pytest.raises(BadInput, match="at least 2 classes to tell apart, got 1 class: 'yes'"):
        quick().fit(X, ["yes"] * 200, sensitive_features=a)


def test_rows_that_are_all_alone_in_their_groups_cannot_be_held_out() -> None:
    with pytest.raises(BadInput, match=r"no rows.*only of groups of at least two"):
        quick(**PLAIN).fit([[0.0], [1.0], [2.0]], [0, 1, 2])


def test_a_validation_part_must_match_what_is_trained_on(small: Any) -> None:
    X, y, a = small
    part = (X[:50], y[:50], a[:50])
    for wrong in (part[:2], X, "X"):
        with pytest.raises(BadInput, match=r"validation must be \(X, y, sensitive_features\)"):
            quick().fit(X, y, sensitive_features=a, validation=wrong)
    with pytest.raises(BadInput, match=r"validation must be \(X, y\)"):
        quick(**PLAIN).fit(X, y, validation=part)
    with pytest.raises(BadInput, match=r"validation holds 2, but training only \[0, 1\]"):
        quick().fit(X, y, sensitive_features=a, validation=(X[:50], y[:50] + 1, a[:50]))
    with pytest.raises(BadInput, match=r"validation holds 'x', but training only \['0', '1'\]"):
        quick().fit(X, y, sensitive_features=a, validation=(X[:50], y[:50], ["x"] * 50))
    with pytest.raises(ValueError, match="X has 2 features, but FairClassifier is expecting 5"):
        quick().fit(X, y, sensitive_features=a, validation=(X[:50, :2], *part[1:]))
    with pytest.raises(BadInput, match="none of y=1, a0=0") as error:
        quick().fit(X, y, sensitive_features=a, validation=tuple(p[(y == 0) | (a == 1)] for p in (X, y, a)))
    assert "held out" not in str(error.value)


def test_a_training_that_diverges_says_where(small: Any) -> None:
    X, y, a = small
    with pytest.raises(RunFailed, match="epoch"):
        quick(standardize=False, optimizer="sgd", lr=1e30).fit(X * 1e6, y, sensitive_features=a)
