"""Training logged for other tools, beside the runs: OUT/logs/tensorboard, mlflow, wandb or csv, an entry for each run.

What is logged is read from the run's own history, which a continued training cuts back and goes on with. So every
epoch is logged once, however often a run was killed, and also if it was finished before anybody wanted a log.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from evenhand import runs
from evenhand.errors import BadInput, unknown
from evenhand.runs import Config, Run

Record = Mapping[str, Any]
OnEpoch = Callable[[Any], None]

# Each with the modules that it needs.
KINDS = {
    "csv": (),
    "mlflow": ("pytorch_lightning", "mlflow"),
    "tensorboard": ("tensorboard",),
    "wandb": ("pytorch_lightning", "wandb"),
}
FOLDER = "logs"
OFFLINE = ("offline", "dryrun")  # Lightning sets the variable to the second, an older name of the first
ALL = "all rows"  # in the place of a group's name
_own_stores: set[str] = set()  # addresses of MLflow's that this process chose
NOT_IN_MLFLOW = re.compile(r"[^\w\-. ]", re.ASCII)


def check(name: str) -> None:
    """Raise BadInput if there is no such logger, or what it needs is not installed."""
    if name not in KINDS:
        raise unknown("logger", name, KINDS)
    missing = [module for module in KINDS[name] if find_spec(module) is None]
    if missing:
        raise BadInput(f"logging to {name} needs {' and '.join(missing)}: pip install 'evenhand[loggers]'")


@dataclass
class Log:
    """One run in one logger.

    Attributes:
        logger: Lightning's.
        step: the next that is not there yet: epochs are counted over all stages, from 0.
        cleaned: how groups are named in this logger's metrics.
        flush: makes what was logged readable.
        leave: ends the entry, given whether all went well.
    """

    logger: Any
    step: int = 0
    cleaned: Callable[[Sequence[str]], Sequence[str]] = tuple
    flush: Callable[[], None] = lambda: None
    leave: Callable[[bool], None] = lambda well: None

    def catch_up(self, folder: Path, groups: Sequence[str]) -> None:
        """Log the epochs of a run's folder that are not there yet."""
        for record in runs.read_lines(folder / "history.jsonl")[self.step :]:
            self.logger.log_metrics(figures(record, self.cleaned(groups)), step=self.step)
            self.step += 1
        self.flush()

    def complete(self, run: Run, groups: Sequence[str]) -> None:
        """Log what is missing of a finished run, and its figures on test."""
        self.catch_up(run.folder, groups)
        test = {f"test/{name}": value for name, value in run.metrics["test"].items() if value is not None}
        self.logger.log_metrics(test, step=max(self.step - 1, 0))
        self.flush()

    def close(self, *, well: bool) -> None:
        """Write everything out; `well` says that the run is finished."""
        self.leave(well)


def figures(record: Record, groups: Sequence[str]) -> dict[str, float]:
    """The metrics of an epoch: lr, score, and loss and accuracy of train and val, of all rows and of each group."""
    found = {name: float(record[name]) for name in ("lr", "score", "stage", "seconds") if record.get(name) is not None}
    for part in ("train", "val"):
        figures_G = record.get(part) or {}
        count_G = figures_G.get("count", ())
        for figure in ("loss", "accuracy"):
            known = [
                (name, value, count)
                for name, value, count in zip(groups, figures_G.get(figure, ()), count_G, strict=True)
                if value is not None and count
            ]
            if known:
                total = sum(count for _, _, count in known)
                found[f"{part}/{figure}/{ALL}"] = sum(value * count for _, value, count in known) / total
            found |= {f"{part}/{figure}/{name}": float(value) for name, value, _ in known}
    return found


def plain_names(names: Sequence[str]) -> list[str]:
    """Names of the letters that MLflow takes, numbered where two would become the same."""
    plain = [NOT_IN_MLFLOW.sub("_", name) for name in names]
    return plain if len(set(plain)) == len(plain) else [f"{name} {number}" for number, name in enumerate(plain)]


@contextmanager
def following(name: str, out: Path, config: Config, on_epoch: OnEpoch | None = None) -> Iterator[OnEpoch | None]:
    """What to call after every epoch of the run that is made inside, so that it is logged; `on_epoch` is called too.

    A logger that fails is said once, in a warning, and the training goes on. Without a name nothing is logged.

    Raises:
        BadInput: there is no such logger, or it is not installed.
    """
    if not name:
        yield on_epoch
        return
    check(name)
    run_name = runs.run_name(config)
    partial = out / f".{run_name}.partial"
    follower = _Follower(name, out, run_name, config)

    groups: list[str] = []

    def note(record: Any) -> None:
        groups[:] = groups or group_names(partial, record)
        follower.do(lambda log: log.catch_up(partial, groups))
        if on_epoch is not None:
            on_epoch(record)

    try:
        yield note
    except BaseException:
        follower.end(well=False)
        raise
    run = runs.find(out, config)
    if run is not None:
        follower.do(lambda log: log.complete(run, groups or groups_of(run)))
    follower.end(well=run is not None)


def complete(name: str, run: Run) -> None:
    """Log a finished run, unless it is there already."""
    out = run.folder.parent
    if name and not _done(out, name, run.folder.name).exists():
        follower = _Follower(name, out, run.folder.name, run.config)
        follower.do(lambda log: log.complete(run, groups_of(run)))
        follower.end(well=True)


class _Follower:
    """The log of a run, opened when it is first needed, and given up when it fails."""

    def __init__(self, name: str, out: Path, run_name: str, config: Config) -> None:
        self.name, self.out, self.run_name, self.config = name, out, run_name, config
        self.log: Log | None = None
        self.failed = False

    def do(self, work: Callable[[Log], None]) -> None:
        if self.failed:
            return
        try:
            if self.log is None:
                _done(self.out, self.name, self.run_name).unlink(missing_ok=True)
                self.log = open_logger(self.name, self.out / FOLDER, self.run_name, self.config)
            work(self.log)
        except Exception as error:  # of another's library, or of a server: no reason to stop a training
            self.failed = True
            said = f"{self.run_name} is not logged any further by {self.name}: {type(error).__name__}: {error}"
            warnings.warn(said, stacklevel=2)

    def end(self, *, well: bool) -> None:
        if self.log is not None:
            self.log.close(well=well and not self.failed)
            if well and not self.failed:
                _done(self.out, self.name, self.run_name).touch()


def _done(out: Path, name: str, run_name: str) -> Path:
    """A file that says that a run is logged completely."""
    return out / FOLDER / f".{name}-{run_name}.done"


def group_names(folder: Path, record: Record) -> list[str]:
    """Names of the groups of a run at work; numbers where its folder does not say."""
    try:
        names: list[str] = json.loads((folder / runs.LIVE).read_text())["groups"]
    except (OSError, ValueError, KeyError):
        names = [f"group {g}" for g in range(len(record["val"]["accuracy"]))]
    return names


def groups_of(run: Run) -> list[str]:
    """Names of the groups in a finished run's history; numbers where they are others than those of the data."""
    if "groups_sha256" not in run.config:
        return [group["group"] for group in run.metrics["groups"]]
    return [f"group {g}" for g in range(len(run.history[0]["val"]["accuracy"]) if run.history else 0)]


def open_logger(name: str, folder: Path, run_name: str, config: Config) -> Log:
    """The log of a run below `folder`, to which the steps from `Log.step` on are still to be added.

    Files of TensorBoard, of CSV and of an offline run of Weights & Biases are begun anew; a run of MLflow, or of
    Weights & Biases on a server, is continued.

    Args:
        name: one of `KINDS`.
        config: of the run; becomes its hyper-parameters.

    Raises:
        BadInput: no such logger, or it is not installed.
    """
    check(name)
    return OPENING[name](folder, run_name, config)


def _csv(folder: Path, run_name: str, config: Config) -> Log:
    from lightning_fabric.loggers.csv_logs import CSVLogger

    shutil.rmtree(folder / "csv" / run_name, ignore_errors=True)
    logger = CSVLogger(folder, "csv", run_name)
    return Log(logger, flush=logger.save, leave=lambda well: logger.finalize("success" if well else "failed"))


def _tensorboard(folder: Path, run_name: str, config: Config) -> Log:
    from lightning_fabric.loggers.tensorboard import TensorBoardLogger

    shutil.rmtree(folder / "tensorboard" / run_name, ignore_errors=True)
    logger = TensorBoardLogger(folder, "tensorboard", run_name, default_hp_metric=False)
    logger.log_hyperparams(config)
    return Log(
        logger,
        flush=logger.experiment.flush,
        leave=lambda well: logger.finalize("success" if well else "failed"),
    )


def _mlflow(folder: Path, run_name: str, config: Config) -> Log:
    from pytorch_lightning.loggers import MLFlowLogger

    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if not uri or uri in _own_stores:  # MLflow itself sets the variable to what it was used with last
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # files need neither a server nor a database
        uri = (folder / "mlflow").absolute().as_uri()
        _own_stores.add(uri)
    from mlflow.tracking import MlflowClient

    client, project = MlflowClient(uri), config["data"]["name"]
    experiment = client.get_experiment_by_name(project)
    wanted = f"tags.`evenhand.run` = '{run_name}'"
    found = client.search_runs([experiment.experiment_id], wanted) if experiment else []
    run_id = found[0].info.run_id if found else None
    logged = client.get_metric_history(run_id, "score") if run_id else []
    logger = MLFlowLogger(
        project, run_name, uri, tags={"evenhand.run": run_name}, run_id=run_id, synchronous=True
    )  # fmt: skip
    if run_id:
        client.update_run(run_id, status="RUNNING")
    else:
        logger.log_hyperparams(config)
    return Log(
        logger,
        max((each.step + 1 for each in logged), default=0),
        cleaned=plain_names,
        leave=lambda well: logger.finalize("success" if well else "failed"),
    )


def _wandb(folder: Path, run_name: str, config: Config) -> Log:
    import wandb
    from pytorch_lightning.loggers import WandbLogger

    offline = os.environ.get("WANDB_MODE", "offline") in OFFLINE  # nothing leaves the machine unless asked for
    if offline:
        for left in (folder / "wandb").glob(f"offline-run-*-{run_name}"):
            shutil.rmtree(left, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    quiet: Any = wandb.Settings(silent=True, console="off")
    logger = WandbLogger(
        run_name, folder, id=run_name, project=config["data"]["name"], offline=offline, resume="allow", settings=quiet
    )
    step = 0 if offline else int(logger.experiment.step)
    logger.log_hyperparams(config)
    return Log(logger, step, leave=lambda well: logger.experiment.finish(exit_code=0 if well else 1))


OPENING: dict[str, Callable[[Path, str, Config], Log]] = {
    "csv": _csv,
    "mlflow": _mlflow,
    "tensorboard": _tensorboard,
    "wandb": _wandb,
}
