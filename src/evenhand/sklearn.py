"""`FairClassifier`: training for the worst-off group as a scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from evenhand import encoders, methods, train
from evenhand.batch import Split
from evenhand.data._table import Codes, Floats, Labelled
from evenhand.errors import BadInput, unknown
from evenhand.evaluation import check_selectable
from evenhand.methods._base import Method
from evenhand.options import checked
from evenhand.sampling import rank_within_label
from evenhand.settings import Selection, Settings

Values = NDArray[Any]
ROWS_AT_ONCE = 16384
CROSS = " × "
NUMBERS = {"dtype": (np.float64, np.float32), "order": "C"}  # one order: sums round alike however X lies in memory
NAMED = ("epochs", "batch_size", "optimizer", "lr", "weight_decay", "select", "device")
FURTHER = ("momentum", "schedule", "step_epochs", "step_factor", "clip", "patience", "precision", "threads")
BY_GROUP = ("worst_group", "group_mean")


class FairClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A multilayer perceptron trained by any method of `evenhand.methods`, for tabular data.

        model = FairClassifier("groupdro", random_state=0).fit(X, y, sensitive_features=people[["sex", "race"]])

    The epoch is selected on rows held out from `fit`: `validation_fraction` of each group, at least one row of every
    group that has two, and never a group's last row. Inputs are standardised by the rows that are trained on.
    `sensitive_features` may be left out where neither the method nor `select` uses groups, as with `method="erm",
    select="average"`. In a pipeline, ask for the metadata with `set_fit_request(sensitive_features=True)`.

    Of scikit-learn's estimator checks, which call `fit(X, y)`, it passes all where `sensitive_features` may be left
    out. A subclass that derives them from X passes all but `check_fit2d_1feature`, whose data have a group of one row.

    Args:
        method: name of a method, see `evenhand.methods.names()`, or a `Method` of one's own.
        method_options: its hyper-parameters by name; None takes the defaults.
        widths: units of each hidden layer.
        epochs: passes over the training rows.
        batch_size: rows per step; fewer rows than that are one batch.
        optimizer: `adam`, `adamw` or `sgd`.
        lr: learning rate, per step.
        weight_decay: in the optimizer's own sense (decoupled for `adamw`).
        settings: further fields of `evenhand.settings.Settings` by name: `momentum`, `schedule`, `step_epochs`,
            `step_factor`, `clip`, `patience`, `precision`, `threads`; None takes the defaults.
        select: accuracy on the held-out rows that chooses the epoch: `worst_group worst_class average group_mean`.
        validation_fraction: share of each group that is held out, in (0, 1), unless `fit` is given `validation`.
        standardize: bring each column to mean 0 and standard deviation 1 on the rows that are trained on.
        device: where to train: `auto`, `cpu`, `cuda`, `mps`. Predictions are made on the CPU in double precision.
        random_state: seed of the hold-out, initialisation and order: the same whole number gives bit for bit the same
            model on the CPU. None draws the seed from NumPy's global generator.

    Attributes:
        classes_: (C,) the labels, sorted; column k of `predict_proba` is `classes_[k]`.
        groups_: rows trained on of each group, by name (`y=1, sex=Female`) or, without sensitive features, each class.
        history_: a record an epoch: loss, accuracy and count on training and held-out rows, in the order of `groups_`.
        best_epoch_: the selected epoch, from 0, of the last stage of the method.
        best_score_: its score under `select` on the held-out rows, in [0, 1].
        model_: the trained `evenhand.model.Model`, in double precision on the CPU.
        scaler_: the fitted `StandardScaler`, which changes nothing without `standardize`.
        n_features_in_, feature_names_in_: columns of X; their names, where X is a data frame that names them by texts.
    """

    def __init__(
        self,
        method: str | Method = "groupdro",
        *,
        method_options: Mapping[str, Any] | None = None,
        widths: Sequence[int] = (32, 64),
        epochs: int = 50,
        batch_size: int = 256,
        optimizer: str = "adam",
        lr: float = 1e-2,
        weight_decay: float = 0.0,
        settings: Mapping[str, Any] | None = None,
        select: str = "worst_group",
        validation_fraction: float = 0.25,
        standardize: bool = True,
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.method = method
        self.method_options = method_options
        self.widths = widths
        self.epochs = epochs
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.lr = lr
        self.weight_decay = weight_decay
        self.settings = settings
        self.select = select
        self.validation_fraction = validation_fraction
        self.standardize = standardize
        self.device = device
        self.random_state = random_state

    def fit(self, X: Any, y: Any, *, sensitive_features: Any = None, validation: Sequence[Any] | None = None) -> Self:
        """Train on X (N, F) and labels y (N).

        Args:
            X: numbers, none missing: an array or a data frame.
            y: labels of any type that can be sorted; at least two classes.
            sensitive_features: (N) or (N, K) values of any type, none missing: an array, list, series or data frame.
                K columns are crossed: every combination that occurs is one value.
            validation: `(X, y)` or `(X, y, sensitive_features)` to select the epoch on, instead of holding rows out.
                A pipeline does not transform it.

        Raises:
            BadInput (a ValueError): a parameter or the data cannot be used, groups are needed and not given, or
                `select` needs a group or class that has too few rows to be held out.
        """
        method, settings = self._plan(sensitive_features)
        X, y = validate_data(self, X, y, **NUMBERS, ensure_min_samples=2)
        check_classification_targets(y)
        random = check_random_state(self.random_state)
        seed = int(random.randint(np.iinfo(np.int32).max))
        coding = _Coding.of(y, sensitive_features, len(X))
        rows = coding.labelled(y, sensitive_features)
        held_N = self._held_out(rows, random) if validation is None else np.zeros(len(X), dtype=bool)
        scaler = StandardScaler(with_mean=self.standardize, with_std=self.standardize).set_output(transform="default")
        self.scaler_ = scaler.fit(X[~held_N])
        x = self._inputs(X)
        fitting = rows.split(x, ~held_N)
        val = rows.split(x, held_N) if validation is None else self._given(validation, coding)
        _check_selectable(val, settings.select, held_out=validation is None)
        with torch.random.fork_rng(devices=()):
            torch.default_generator.manual_seed(seed)
            model = encoders.build("mlp", (self.n_features_in_,), len(rows.classes), widths=self._layers())
        fitted = train.fit(model, method, fitting, val, replace(settings, seed=seed))
        self.classes_ = np.unique(y)
        self.groups_ = {fitting.group_name(g): n for g, n in enumerate(fitting.count_G.tolist())}
        self.history_, self.best_epoch_, self.best_score_ = fitted.history, fitted.epoch, fitted.score
        self.model_ = fitted.model.cpu().double().eval()
        return self

    def predict(self, X: Any) -> Values:
        """(N,) the most probable label of each row."""
        logits_NC = self._logits(X)
        return np.asarray(self.classes_[logits_NC.argmax(axis=1)])

    def predict_proba(self, X: Any) -> Values:
        """(N, C) probability of each class, in the order of `classes_`."""
        return torch.from_numpy(self._logits(X)).softmax(dim=1).numpy()

    def decision_function(self, X: Any) -> Values:
        """(N, C) logits; of two classes (N,) the second's minus the first's, positive where the second is predicted."""
        logits_NC = self._logits(X)
        return logits_NC[:, 1] - logits_NC[:, 0] if len(self.classes_) == 2 else logits_NC

    def _plan(self, sensitive: Any) -> tuple[Method, Settings]:
        """The method and settings that the parameters name, checked against whether there are groups."""
        method = self.method
        if isinstance(method, str):
            method = methods.make(method, **(self.method_options or {}))
        elif self.method_options:
            raise BadInput("method_options go with the name of a method; a Method already holds its own")
        for name in self.settings or {}:
            if name not in FURTHER:
                raise unknown("setting", name, FURTHER)
        values = {name: getattr(self, name) for name in NAMED} | dict(self.settings or {})
        settings = Settings(**checked(Settings, values, "FairClassifier"))
        by_method = any(stage.method.needs_groups for stage in method.stages())
        if sensitive is None and (by_method or settings.select in BY_GROUP):
            reason = f"method={self.method}" if by_method else f"select={settings.select}"
            other = "method=erm" if by_method else "select=average"
            raise BadInput(f"{reason} needs groups: hand sensitive_features to fit, or choose another, such as {other}")
        return method, settings

    def _layers(self) -> tuple[int, ...]:
        widths = np.atleast_1d(np.asarray(self.widths, dtype=object)).tolist()
        if not widths or not all(isinstance(width, int | np.integer) and width > 0 for width in widths):
            raise BadInput(f"widths must be positive whole numbers, one for each hidden layer, got {self.widths!r}")
        return tuple(map(int, widths))

    def _held_out(self, rows: Labelled, random: np.random.RandomState) -> NDArray[np.bool_]:
        """`validation_fraction` of the rows of each group, at least one of two and never the last."""
        fraction = self.validation_fraction
        if not isinstance(fraction, float | np.floating) or not 0 < fraction < 1:
            raise BadInput(f"validation_fraction must lie strictly between 0 and 1, got {fraction!r}")
        nothing = np.empty((len(rows.y), 0), dtype=np.float32)
        labels = rows.split(nothing, np.ones(len(rows.y), dtype=bool))
        order = torch.from_numpy(random.permutation(len(rows.y)))
        size_G = (labels.count_G * float(fraction)).round().clamp(min=1).minimum(labels.count_G - 1)
        held_N = torch.zeros(len(rows.y), dtype=torch.bool)
        held_N[order] = rank_within_label(labels.group[order]) < size_G[labels.group[order]]
        return held_N.numpy()

    def _given(self, validation: Any, coding: _Coding) -> Split:
        """The validation part that `fit` was handed."""
        wanted = "(X, y, sensitive_features)" if coding.names else "(X, y)"
        parts = [part for part in validation if part is not None] if isinstance(validation, tuple | list) else []
        if len(parts) != wanted.count(",") + 1:
            raise BadInput(f"validation must be {wanted}, the same parts as fit was given; got {len(parts)} parts")
        X, y = validate_data(self, parts[0], parts[1], reset=False, **NUMBERS)
        return coding.labelled(y, *parts[2:]).split(self._inputs(X), np.ones(len(X), dtype=bool))

    def _inputs(self, X: Values) -> Floats:
        """Scaled, in single precision, as the network is trained on them."""
        with np.errstate(over="ignore"):
            x: Floats = self.scaler_.transform(X).astype(np.float32)
        if not np.isfinite(x).all():
            raise BadInput("X holds numbers too large for 32-bit floats; scale it, or set standardize=True")
        return x

    def _logits(self, X: Any) -> Values:
        """(N, C) in double precision, so that a row's figures do not depend on which rows it comes with."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, **NUMBERS)
        starts = range(0, len(X), ROWS_AT_ONCE)
        with torch.inference_mode():
            chunks = (self.scaler_.transform(X[start : start + ROWS_AT_ONCE].astype(np.float64)) for start in starts)
            logits_NC: Tensor = torch.cat([self.model_(torch.from_numpy(chunk)) for chunk in chunks])
        return logits_NC.numpy()


@dataclass(frozen=True)
class _Coding:
    """The labels and combinations of sensitive values that occur in training; their places are their numbers."""

    classes: list[Any]
    names: tuple[str, ...] = ()  # the sensitive features as one attribute; empty without any
    combinations: tuple[tuple[str, ...], ...] = ()

    @classmethod
    def of(cls, y: Values, sensitive: Any, n_rows: int) -> _Coding:
        classes = np.unique(y).tolist()
        if len(classes) < 2:
            raise BadInput(f"a classifier needs at least 2 classes to tell apart, got 1 class: {classes[0]!r}")
        if sensitive is None:
            return cls(classes)
        rows = _crossed(sensitive, n_rows)
        name = getattr(sensitive, "name", None)
        unnamed = [f"a{k}" for k in range(np.asarray(sensitive, dtype=object)[:1].size)]
        names = getattr(sensitive, "columns", unnamed if name is None else [name])
        return cls(classes, (CROSS.join(map(str, names)),), (tuple(sorted(set(rows))),))

    def labelled(self, y: Values, sensitive: Any = None) -> Labelled:
        """Labels and sensitive values as numbers."""
        columns = [_numbers(_crossed(sensitive, len(y)), known) for known in self.combinations]
        attributes = np.stack(columns, axis=1) if columns else np.empty((len(y), 0), dtype=np.int64)
        names = tuple(map(str, self.classes))
        return Labelled(_numbers(y.tolist(), self.classes), names, attributes, self.names, self.combinations)


def _crossed(sensitive: Any, n_rows: int) -> list[str]:
    """Each row's values of the K sensitive features, as one text."""
    table = np.asarray(sensitive, dtype=object)
    table = table[:, None] if table.ndim == 1 else table
    if table.ndim != 2 or len(table) != n_rows or table.shape[1] == 0:
        raise BadInput(
            f"sensitive_features must hold one value, or a row of values, for each of the {n_rows} rows of X; "
            f"got shape {np.shape(sensitive)}"
        )
    columns = table.T.tolist()
    missing = [n for column in columns for n, value in enumerate(column) if _is_missing(value)]
    if missing:
        raise BadInput(
            f"sensitive_features has a missing value in row {missing[0]} (counted from 0); leave such rows out, or "
            "give them a value of their own"
        )
    return list(map(CROSS.join, zip(*(map(str, column) for column in columns), strict=True)))


def _is_missing(value: Any) -> bool:
    try:
        return value is None or bool(value != value)  # noqa: PLR0124
    except (TypeError, ValueError):  # pandas.NA has no truth value
        return True


def _numbers(values: list[Any], known: Sequence[Any]) -> Codes:
    number_of = {value: number for number, value in enumerate(known)}
    try:
        return np.array([number_of[value] for value in values], dtype=np.int64)
    except KeyError as error:
        raise BadInput(f"validation holds {error.args[0]!r}, but training only {list(known)}") from None


def _check_selectable(val: Split, select: Selection, *, held_out: bool) -> None:
    try:
        check_selectable(val, select)
    except BadInput as error:
        raise BadInput(f"{error}{'. Rows are held out only of groups of at least two' if held_out else ''}") from None
