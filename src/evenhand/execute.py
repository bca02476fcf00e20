"""Execute one run: train, select on validation, evaluate on test once, and leave a complete run folder."""

from __future__ import annotations

import io
import json
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars
import safetensors.torch
import torch

from evenhand import checkpoint, loggers, metrics, runs
from evenhand.batch import Split
from evenhand.data._base import Data
from evenhand.errors import BadInput
from evenhand.evaluation import METRIC_OF, count, predict, score
from evenhand.files import cannot_write, without_nan, write_atomically, write_json
from evenhand.methods._base import Method
from evenhand.model import Model
from evenhand.plan import Plan, described, identified_weights, new_model, resolve
from evenhand.pretraining._store import Pretraining, begin_with_pretrained
from evenhand.randomness import seed_everything
from evenhand.runs import Config, Run
from evenhand.settings import Settings
from evenhand.tracking import Geometry, Tracker
from evenhand.train import Fitted, Record, fit


def execute(
    data: Data,
    plan: Plan,
    out: Path,
    *,
    checkpoint_every: float = 30.0,
    on_epoch: Callable[[Record], None] | None = None,
    on_pretraining: Callable[[Pretraining], None] | None = None,
) -> Run:
    """The finished run of `plan` below `out`: found there, continued from its checkpoint, or trained.

    Raises:
        BadInput: the plan does not fit the data, or `out` cannot be used.
        RunFailed: training or writing failed; what was done so far stays and is continued the next time.
    """
    method, settings, config = resolve(plan, data)
    runs.claim(out, config["data"])
    if found := runs.find(out, config):
        return found
    with loggers.following(plan.log, out, config, on_epoch) as noting, runs.partial(out, config) as folder:
        if folder is not None:
            try:
                _make(
                    folder, data, plan, method, settings,
                    checkpoint_every=checkpoint_every, on_epoch=noting, on_pretraining=on_pretraining,
                )  # fmt: skip
            except OSError as error:
                raise cannot_write(folder, error) from error
    return Run(out / runs.run_name(config))


def execute_untrained(
    data: Data, config: Config, logits_of: Callable[[Split, Path], torch.Tensor], out: Path, *, device: torch.device
) -> Run:
    """The finished run of a predictor that needs no training: found below `out`, or made; without `model.safetensors`.

    Args:
        config: its full configuration: format, data, method, settings.
        logits_of: the (N, C) float logits, on the CPU, of the rows of a split; while it works it may keep what it has
            in a file of this path, from which it continues after it was killed.
        device: on which it predicts.

    Raises:
        BadInput: `out` cannot be used.
        RunFailed: the results cannot be written.
    """
    runs.claim(out, config["data"])
    with runs.partial(out, config) as folder:
        if folder is not None:
            started, kept = time.perf_counter(), {name: folder / f"{name}.logits" for name in ("val", "test")}
            try:
                runs.keep_lines(folder / "history.jsonl", 0)
                _write_figures(folder, data, lambda name, split: logits_of(split, kept[name]), lambda _: {
                    "selection": {"rule": None, "epoch": None, "score": None},
                    "oracle": None,
                    "epochs": 0,
                    "seconds": time.perf_counter() - started,
                    "environment": environment(device),
                })  # fmt: skip
                for file in kept.values():
                    file.unlink(missing_ok=True)
            except OSError as error:
                raise cannot_write(folder, error) from error
    return Run(out / runs.run_name(config))


def _make(
    folder: Path,
    data: Data,
    plan: Plan,
    method: Method,
    settings: Settings,
    *,
    checkpoint_every: float,
    on_epoch: Callable[[Record], None] | None,
    on_pretraining: Callable[[Pretraining], None] | None,
) -> None:
    started = time.perf_counter()
    file = folder / runs.CHECKPOINT
    history, by_epoch = folder / "history.jsonl", folder / "test_by_epoch.jsonl"
    collapse = folder / runs.COLLAPSE
    before = _continue_logs(file, [history, *([by_epoch] if plan.oracle else []), *([collapse] if plan.track else [])])
    write_json(folder / runs.LIVE, _live(method, settings, plan.splits(data)[0]))
    test, tracker = data.test.unseal() if plan.oracle else None, _tracker(plan, settings)

    def note(record: Record, model: Model) -> None:
        _append(history, record)
        of = {"stage": record["stage"], "epoch": record["epoch"]}
        if test is not None:
            there = test.to(_device(model))
            on_chunk = tracker.watch("test", there, data.train.count_G) if tracker else None
            counts = count(predict(model, there, on_chunk), test)
            _append(by_epoch, {**of, "counts": counts.to_list()})
        if tracker:
            _append(collapse, {**of, "parts": tracker.figures()})
        if on_epoch:
            on_epoch(record)

    seed_everything(settings.seed)
    model = new_model(settings, data)
    if settings.pretrain != "none":
        begin_with_pretrained(
            model, data.train.inputs, settings, folder.parent, {"data": described(data)} | identified_weights(settings),
            checkpoint_every=checkpoint_every, on_progress=on_pretraining,
        )  # fmt: skip
        started = time.perf_counter()  # the seconds of a run are the method's: others find the encoder made
    fitted = fit(
        model, method, *plan.splits(data), settings,
        checkpoint=file, checkpoint_every=checkpoint_every, on_epoch=note, tracker=tracker,
    )  # fmt: skip
    _write_results(folder, data, fitted, settings, before + time.perf_counter() - started)
    if tracker:
        write_atomically(folder / runs.POINTS, tracker.points_file())
    for passing in (file, folder / runs.LIVE):
        passing.unlink(missing_ok=True)


def _live(method: Method, settings: Settings, train: Split) -> dict[str, Any]:
    """What those who watch a run need beside its history: names of its groups, and the epochs of each stage."""
    epochs = [settings.epochs if stage.epochs is None else max(stage.epochs, 1) for stage in method.stages()]
    return {"groups": [train.group_name(g) for g in range(train.n_groups)], "epochs": epochs}


def _tracker(plan: Plan, settings: Settings) -> Tracker | None:
    if not plan.track:
        return None
    of_points = "test" if plan.oracle else "val"
    return Tracker(exact=plan.track == "collapse-exact", of_points=of_points, seed=settings.seed)


def _continue_logs(file: Path, logs: list[Path]) -> float:
    """Cut the logs to the epochs of the checkpoint, whose seconds are returned; without a usable pair begin again."""
    snapshot = checkpoint.load(file)
    n_epochs = len(snapshot["history"]) if snapshot else 0
    if any(_whole_lines(log) < n_epochs for log in logs):
        file.unlink(missing_ok=True)
        snapshot, n_epochs = None, 0
    for log in logs:
        runs.keep_lines(log, n_epochs)
    if not snapshot:
        return 0.0
    whole = sum(float(record["seconds"]) for record in snapshot["history"])
    return whole + float(snapshot.get("seconds", (0.0, 0.0))[0])


def _whole_lines(log: Path) -> int:
    """How many epochs a log holds; none where it is damaged."""
    try:
        return len(runs.read_lines(log))
    except BadInput:
        return 0


def _append(path: Path, record: Mapping[str, Any]) -> None:
    with path.open("a") as file:
        file.write(json.dumps(without_nan(record)) + "\n")


def _device(model: Model) -> torch.device:
    return next(model.parameters()).device


def _write_results(folder: Path, data: Data, fitted: Fitted, settings: Settings, seconds: float) -> None:
    """Evaluate the selected model on validation and test, and write everything that a finished run holds."""
    model, device = fitted.model, _device(fitted.model)
    geometry = Geometry(model, data.train)

    def logits(name: str, split: Split) -> torch.Tensor:
        return predict(model, split.to(device), geometry.watch(name, split)).cpu()

    _write_figures(folder, data, logits, lambda train_count_G: {
        "selection": {"rule": settings.select, "epoch": fitted.epoch, "score": fitted.score},
        "oracle": _oracle(folder / "test_by_epoch.jsonl", settings, train_count_G),
        "epochs": len(fitted.history),
        "seconds": seconds,
        "environment": environment(device),
    })  # fmt: skip
    write_json(folder / runs.GEOMETRY, geometry.record())
    weights = {name: tensor.contiguous().cpu() for name, tensor in model.state_dict().items()}
    write_atomically(folder / "model.safetensors", safetensors.torch.save(weights))


def _write_figures(
    folder: Path,
    data: Data,
    logits_of: Callable[[str, Split], torch.Tensor],
    about: Callable[[np.ndarray[Any, Any]], Mapping[str, Any]],
) -> None:
    """Predict validation and test, and write predictions and figures; `about` the run is asked when both are there."""
    splits = {"val": data.val, "test": data.test.unseal()}
    logits = {name: logits_of(name, split) for name, split in splits.items()}
    counts = {name: count(logits[name], split) for name, split in splits.items()}
    train_count_G = data.train.count_G.numpy()
    write_json(folder / "metrics.json", {
        **{
            name: _evaluated(logits[name], split, train_count_G) | {"roc_auc": _roc_auc(logits[name], split)}
            for name, split in splits.items()
        },
        "labels": runs.labels(data.train),
        "worst_group": _worst_group(counts["test"], data.train),
        "groups": _groups(counts, data.train),
        "unknown_groups": {
            name: split.n_unknown for name, split in {"train": data.train, **splits}.items() if split.n_unknown
        },
        **about(train_count_G),
    })  # fmt: skip
    table = polars.concat([_predictions(name, split, logits[name]) for name, split in splits.items()])
    buffer = io.BytesIO()
    table.write_parquet(buffer)
    write_atomically(folder / "predictions.parquet", buffer.getvalue())


def _predictions(name: str, split: Split, logits_NC: torch.Tensor) -> polars.DataFrame:
    attributes = {} if split.attributes is None else {
        f"attribute_{split.attribute_names[k] if split.attribute_names else k}": _or_null(column)
        for k, column in enumerate(split.attributes.T)
    }  # fmt: skip
    return polars.DataFrame({
        "split": np.full(len(split), name),
        "row": np.arange(len(split)),
        "y": split.y.numpy(),
        **attributes,
        "group": _or_null(split.group),
        **{f"logit_{c}": column.numpy() for c, column in enumerate(logits_NC.T)},
    })  # fmt: skip


def _or_null(code_N: torch.Tensor) -> polars.Series:
    """Codes with null for what is not known."""
    codes = polars.Series(code_N.numpy())
    return codes.set(codes < 0, None) if bool((code_N < 0).any()) else codes


def _evaluated(logits_NC: torch.Tensor, split: Split, train_count_G: np.ndarray[Any, Any]) -> dict[str, float]:
    """Every metric; those that look at no groups take rows of unknown groups in."""
    found = metrics.evaluate(count(logits_NC, split), train_count_G=train_count_G)
    if split.n_unknown:
        found |= metrics.evaluate(count(logits_NC, split.without_groups()), ["accuracy", "worst_class_accuracy"])
    return found


def _roc_auc(logits_NC: torch.Tensor, split: Split) -> float:
    """Area under the ROC curve: of the second class of two, else the mean over classes against the rest."""
    scores_NC = logits_NC.double().softmax(1).numpy() if logits_NC.shape[1] > 2 else logits_NC.double().diff(dim=1)
    y_N = split.y.numpy()
    if logits_NC.shape[1] == 2:
        return metrics.auc(np.asarray(scores_NC)[:, 0], y_N)
    areas = [metrics.auc(scores_NC[:, c], (y_N == c).astype(np.int64)) for c in range(logits_NC.shape[1])]
    return float(np.nanmean(areas)) if not np.isnan(areas).all() else float("nan")


def _worst_group(counts: metrics.Counts, split: Split) -> dict[str, Any]:
    worst = metrics.worst_group(counts.correct_G, counts.count_G)
    name = None if worst.group is None else split.group_name(worst.group)
    return {"group": name, "value": worst.value, "low": worst.low, "high": worst.high}


def _groups(counts: Mapping[str, metrics.Counts], train: Split) -> list[dict[str, Any]]:
    """Every group with its size in each split and its test accuracy with a 95 % interval."""
    low_G, high_G = metrics.wilson(counts["test"].correct_G, counts["test"].count_G)
    return [
        {
            "group": train.group_name(g),
            "train": int(train.count_G[g]),
            **{name: int(c.count_G[g]) for name, c in counts.items()},
            "accuracy": float(counts["test"].accuracy_G[g]),
            "low": float(low_G[g]),
            "high": float(high_G[g]),
        }
        for g in range(train.n_groups)
    ]


def _oracle(path: Path, settings: Settings, train_count_G: np.ndarray[Any, Any]) -> dict[str, Any] | None:
    """What selecting on the test split would have reported: the leak that some published code has, as a figure."""
    epochs = runs.read_lines(path)
    if not epochs:
        return None
    last = [epoch for epoch in epochs if epoch["stage"] == epochs[-1]["stage"]]
    tried = [(metrics.Counts.from_list(epoch["counts"]), epoch["epoch"]) for epoch in last]
    counts, epoch = max(tried, key=lambda pair: score(pair[0], settings.select))
    return {
        "rule": METRIC_OF.get(settings.select, settings.select),
        "epoch": epoch,
        "test": metrics.evaluate(counts, train_count_G=train_count_G),
    }


def environment(device: torch.device) -> dict[str, Any]:
    """Versions and hardware, to report beside figures; not part of the configuration."""
    from evenhand import __version__

    return {
        "evenhand": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": str(device),
        "machine": platform.machine(),
    }
