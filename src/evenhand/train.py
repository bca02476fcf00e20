"""The training loop: one for every method, resumable at any instant."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Generator, Tensor, nn

from evenhand import checkpoint as snapshots
from evenhand.batch import Batch, Split
from evenhand.checkpoint import Tree
from evenhand.errors import BadInput, RunFailed
from evenhand.evaluation import check_selectable, per_group, predict, row_figures, selection_score
from evenhand.inputs import ahead
from evenhand.inputs.augmented import augmented
from evenhand.methods._base import Method, Stage, State
from evenhand.model import Model
from evenhand.optimizers import make_optimizer, make_schedule
from evenhand.randomness import generator, random_states, reproducible, restore_random_states, seed_everything
from evenhand.seen import Seen
from evenhand.settings import Settings
from evenhand.tracking import Tracker

Record = dict[str, Any]

DEEP = 5  # convolutions; with fewer, what another layout gains goes into converting every batch


@dataclass(frozen=True)
class Fitted:
    """A trained model: the one of the selected epoch of the last stage, or of its last under `select="last"`.

    Attributes:
        model: with the selected epoch's weights.
        epoch: which epoch of the last stage that was, from 0.
        score: its validation score under the selection rule, in [0, 1]; under `last` the accuracy, which chose nothing.
        history: one record an epoch: stage, epoch, lr, per group the loss, accuracy and count on train (while it was
            trained on) and on val, the score, and the seconds since the record before (with the method's refresh
            and this epoch's validation, without `on_epoch`) and of its batches alone.
    """

    model: Model
    epoch: int
    score: float
    history: list[Record]


def fit(
    model: Model,
    method: Method,
    train: Split,
    val: Split,
    settings: Settings,
    *,
    checkpoint: Path | None = None,
    checkpoint_every: float = 30.0,
    on_epoch: Callable[[Record, Model], None] | None = None,
    tracker: Tracker | None = None,
) -> Fitted:
    """Train `method.prepare(model)` by `method` on `train`, select the epoch on `val`; the test split has no way in.

    The same arguments give bit for bit the same result on the CPU, also when a killed training is continued from
    `checkpoint`. The caller's random generators are left as they were.

    Args:
        checkpoint: where snapshots are kept; if there is one of this training, it is continued.
        checkpoint_every: seconds between snapshots; 0 writes one after every batch.
        on_epoch: called after each epoch's evaluation, before anything of it is stored.
        tracker: looks at the features of training and validation; its record of an epoch is ready at `on_epoch`.

    Raises:
        BadInput: the selection rule cannot be judged on `val`, the method needs groups that `train` lacks, `augment`
            does not fit the inputs, or `checkpoint` is of another training.
        RunFailed: the loss became infinite or NaN; the message names stage, epoch, batch and group.
    """
    check_selectable(val, settings.select, train)
    train = train if settings.augment is None else augmented(train, settings.augment)
    with reproducible(settings):
        loop = _Loop(method.prepare(model), method.stages(), train, val, settings, file=checkpoint)
        loop.every, loop.due, loop.on_epoch = checkpoint_every, time.monotonic() + checkpoint_every, on_epoch
        loop.tracker = tracker
        return loop.run()


class _Objective(nn.Module):
    """A method's loss as a module, which is what Fabric wraps; it keeps what the classifier took and gave in a step."""

    def __init__(self, model: Model, method: Method, state: State, *, keep_features: bool) -> None:
        super().__init__()
        self.model, self.state = model, state
        self.method = method
        self.keep_features = keep_features
        # Of the classifier in this step; lists, as setting a module's attribute is slow.
        self.inputs: list[Tensor] = []
        self.outputs: list[Tensor] = []
        self.hook = model.classifier.register_forward_hook(self._keep_output)

    def _keep_output(self, module: nn.Module, args: Any, output: Tensor) -> None:
        if torch.is_grad_enabled():
            self.outputs.append(output.detach())
            if self.keep_features:
                self.inputs.append(args[0].detach())

    def forward(self, batch: Batch) -> Tensor:
        self.outputs.clear()
        self.inputs.clear()
        return self.method.loss(batch, self.model, self.state)

    def logits(self) -> Tensor | None:
        """(B, C) logits of the last step; None if the method did not call the classifier."""
        return self.outputs[0] if self.outputs else None

    def features(self) -> Tensor | None:
        """(B, D) features that these logits were made of."""
        return self.inputs[0] if self.inputs else None


@dataclass
class _Best:
    """The best epoch of the stage so far."""

    score: float = -math.inf
    epoch: int = -1
    weights: dict[str, Tensor] = field(default_factory=dict)


class _Loop:
    """One training. `stage`, `epoch` and `len(seen)` say how far it is; a snapshot is these and every tensor."""

    def __init__(
        self,
        model: Model,
        stages: tuple[Stage, ...],
        train: Split,
        val: Split,
        settings: Settings,
        *,
        file: Path | None,
    ) -> None:
        self.fabric = Fabric(accelerator=settings.device, devices=1, precision=settings.precision)
        self.model = model.to(self.fabric.device)
        if sum(isinstance(module, nn.Conv2d) for module in model.modules()) >= DEEP:
            # The layout of the fastest convolutions: a quarter less time for a residual network on a CPU.
            self.model = self.model.to(memory_format=torch.channels_last)
        self.stages, self.settings = stages, settings
        self.splits = {"train": train.to(self.fabric.device), "val": val.to(self.fabric.device)}
        self.file, self.every = file, 0.0
        self.due = math.inf
        self.on_epoch: Callable[[Record, Model], None] | None = None
        self.tracker: Tracker | None = None
        self.snapshot: dict[str, Tree] | None = None
        self.history: list[Record] = []
        self.initial = snapshots.copied(model.state_dict()) if any(stage.restart for stage in stages) else {}
        self.wanted_gradients = [(parameter, parameter.requires_grad) for parameter in model.parameters()]

    # --- stages ---

    def run(self) -> Fitted:
        saved = self._saved()
        for number in range(saved["stage"] if saved else 0, len(self.stages)):
            self.number = number
            self._begin_stage(saved)
            saved = None
            try:
                if self.stage.epochs == 0 and not self.epoch:
                    self._finish_epoch()
                while self.epoch < self.epochs and not self._out_of_patience():
                    self._train_epoch()
                    self._finish_epoch()
            except BaseException:
                self._store_for_later()
                raise
            finally:
                self.objective.hook.remove()
                for parameter, wanted in self.wanted_gradients:
                    parameter.requires_grad_(wanted)
            if number == len(self.stages) - 1 or self.stage.keep == "best":
                self.model.load_state_dict(self.best.weights)
        return Fitted(self.model, self.best.epoch, self.best.score, self.history)

    def _begin_stage(self, saved: dict[str, Tree] | None) -> None:
        """Set the stage up as if it had just begun, then lay a snapshot's tensors over it."""
        if saved:
            self.model.load_state_dict(saved["handover"])
        self.stage = self.stages[self.number]
        self.method = self.stage.method
        self.epochs = self.settings.epochs if self.stage.epochs is None else self.stage.epochs
        self.epoch, self.seen, self.best = 0, Seen(), _Best()
        self.started, self.began, self.seconds_training = time.perf_counter(), math.inf, 0.0
        self.handover = snapshots.copied(self.model.state_dict()) if self.file else {}
        # A method that does not declare `needs_groups` cannot peek: it is given splits without them.
        # One that does is given the rows whose groups are known.
        needs = self.method.needs_groups
        self.shown = {name: s.known() if needs else s for name, s in self.splits.items()}
        hidden = {name: s if needs else s.without_groups() for name, s in self.shown.items()}
        self.train, self.val = hidden[self.stage.split], hidden["val"]
        seed_everything(self.settings.seed, self.number)
        with self.fabric.autocast():
            state = self.method.start(self.train, self.model, self.val)
        if self.stage.restart:
            self.model.load_state_dict(self.initial)
        keep_features = self.tracker is not None and not self.tracker.exact
        self.objective = _Objective(self.model, self.method, state, keep_features=keep_features).to(self.fabric.device)
        for parameter in self.model.parameters():
            parameter.requires_grad_(False)
        wanted = {id(parameter) for parameter, wanted in self.wanted_gradients if wanted}
        trained = [p for p in self.model.part(self.stage.trains).parameters() if id(p) in wanted]
        trained += state.parameters()
        if not trained:
            raise BadInput(
                f"{type(self.method).__name__} trains the {self.stage.trains} only, which has no weights to train; "
                "choose another method or encoder"
            )
        for parameter in trained:
            parameter.requires_grad_(True)
        self.optimizer = make_optimizer(trained, self.settings)
        self.schedule = make_schedule(self.optimizer, self.settings, self.epochs)
        self.step, self.stepper, self.backward = self._set_up()
        if self.tracker:
            self.tracker.begin_stage(self.model, self.shown[self.stage.split], self.splits["train"])
        if saved:
            self._continue(saved)

    def _set_up(self) -> tuple[nn.Module, Any, Callable[[Tensor], None]]:
        """The objective, optimizer and backward of a step: Fabric's, or bare where its wrappers would do nothing.

        On one device in full precision they only cost time: a tenth of the step of a small network.
        """
        if self.fabric.world_size == 1 and self.settings.precision == "32-true":
            return self.objective, self.optimizer, Tensor.backward
        step, stepper = self.fabric.setup(self.objective, self.optimizer)
        return step, stepper, self.fabric.backward

    # --- epochs ---

    def _train_epoch(self) -> None:
        self.began = time.perf_counter() - self.seconds_training  # of its batches so far, if it is continued
        self.model.train()
        rng = generator(self.settings.seed, self.number, self.epoch)
        seen, objective, tracker = self.seen, self.objective, self.tracker
        for batch in self._batches(rng):
            loss = self.step(batch)
            self.stepper.zero_grad()
            self.backward(loss)
            if self.settings.clip is not None:
                self.fabric.clip_gradients(self.step, self.stepper, max_norm=self.settings.clip)
            self.stepper.step()
            seen.add(batch.rows, loss.detach(), objective.logits(), self.train.y)
            if tracker:
                tracker.step(batch.rows, objective.features())
            if self.file and time.monotonic() >= self.due and seen.first_not_finite() is None:
                self._take_snapshot()
                self._store_snapshot()
        self.seconds_training = time.perf_counter() - self.began
        if not len(seen):
            raise BadInput(f"{type(self.method).__name__} yielded no batch from {len(self.train)} rows")

    def _batches(self, rng: Generator) -> Iterator[Batch]:
        """The batches of this epoch that are still to come, augmented, each from a generator of its own."""
        orders = self.method.batches(self.train, self.objective.state, self.settings.batch_size, rng)
        done, epoch = len(self.seen), (self.settings.seed, self.number, self.epoch)
        return ahead.batches(
            self.train, islice(orders, done, None), lambda number: generator(*epoch, done + number),
            ahead=0 if self.method.adaptive else ahead.AHEAD,
        )  # fmt: skip

    def _finish_epoch(self) -> None:
        """Evaluate, record, keep the best, refresh the method, and note the state from which to continue."""
        self._refuse_not_finite()
        val, tracker = self.splits["val"], self.tracker
        with self.fabric.autocast():
            if tracker:
                tracker.end_training()
            logits_NC = predict(self.model, val, tracker.watch("val", val) if tracker else None)
        points = selection_score(logits_NC, val, self.settings.select)
        record = {
            "stage": self.number,
            "epoch": self.epoch,
            "lr": self.optimizer.param_groups[0]["lr"],
            "train": self.seen.by_group(self.shown[self.stage.split]),
            "val": per_group(row_figures(logits_NC, val.y), val.group, val.n_groups),
            "score": points,
            "seconds": time.perf_counter() - self.started,
            "seconds_training": self.seconds_training,
        }
        if self.on_epoch:
            self.on_epoch(record, self.model)
        if tracker:
            tracker.begin_epoch()
        self.started, self.began, self.seconds_training = time.perf_counter(), math.inf, 0.0
        self.history.append(record)
        if points > self.best.score or self.settings.select == "last":
            self.best = _Best(points, self.epoch, {k: v.detach().clone() for k, v in self.model.state_dict().items()})
        if self.epochs:
            self.schedule.step()
        self.epoch, self.seen = self.epoch + 1, Seen()
        if self.epoch < self.epochs:
            with self.fabric.autocast():
                self.method.end_epoch(self.train, self.model, self.objective.state, self.val)
        if self.file:
            self._take_snapshot()
            if time.monotonic() >= self.due:
                self._store_snapshot()

    def _out_of_patience(self) -> bool:
        return self.settings.patience is not None and self.epoch - self.best.epoch > self.settings.patience

    def _refuse_not_finite(self) -> None:
        bad = self.seen.first_not_finite()
        if bad is None:
            return
        groups = self.seen.groups_at_fault(bad, self.shown[self.stage.split])
        raise RunFailed(
            f"the loss became {float(self.seen.losses[bad])} in stage {self.number + 1} of {len(self.stages)}, "
            f"epoch {self.epoch + 1} of {self.epochs}, batch {bad + 1} of {len(self.seen)}, with rows of group "
            f"{'; '.join(groups)}. Try a smaller lr, or clip=1"
            + (f"; the state after the last good epoch is in {self.file}" if self.file and self.snapshot else "")
        )

    # --- snapshots ---

    def _take_snapshot(self) -> None:
        self.snapshot = {
            "of": self._identity(),
            "stage": self.number,
            "epoch": self.epoch,
            "handover": self.handover,
            "model": snapshots.copied(self.model.state_dict()),
            "state": snapshots.copied(self.objective.state.state_dict()),
            "optimizer": snapshots.copied(self.optimizer.state_dict()),
            "schedule": self.schedule.state_dict(),
            "best": snapshots.copied(vars(self.best)),
            "seen": snapshots.copied(vars(self.seen)),
            "history": list(self.history),
            "seconds": (time.perf_counter() - self.started, max(time.perf_counter() - self.began, 0.0)),
            "random": random_states(),
            "tracker": snapshots.copied(self.tracker.state()) if self.tracker else None,
        }

    def _saved(self) -> dict[str, Tree] | None:
        """The snapshot to continue from; raise BadInput if there is one of another training."""
        saved = snapshots.load(self.file) if self.file else None
        if saved and saved["of"] != self._identity():
            raise BadInput(
                f"{self.file} is of another training ({saved['of']}), not of this one ({self._identity()}); "
                "remove it or choose another checkpoint"
            )
        return saved

    def _identity(self) -> str:
        """What makes this training another than those with which it cannot share snapshots."""
        n_weights = sum(tensor.numel() for tensor in self.model.state_dict().values())
        rows = f"{len(self.splits['train'])} and {len(self.splits['val'])} rows"
        tracked = "" if self.tracker is None else ", tracked exactly" if self.tracker.exact else ", tracked"
        return f"{self.stages[-1].method}, {self.settings}, {n_weights} weights, {rows}{tracked}"

    def _store_snapshot(self) -> None:
        if self.file and self.snapshot:
            snapshots.save(self.file, self.snapshot)
            self.due = time.monotonic() + self.every

    def _store_for_later(self) -> None:
        """Store the snapshot before giving up, even if that is interrupted: failures and signals may come together."""
        try:
            self._store_snapshot()
        except Exception:
            raise
        except BaseException:
            self._store_snapshot()
            raise

    def _continue(self, saved: dict[str, Tree]) -> None:
        device = self.fabric.device
        self.epoch, self.history, self.handover = saved["epoch"], saved["history"], saved["handover"]
        self.model.load_state_dict(saved["model"])
        self.objective.state.load_state_dict(saved["state"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.schedule.load_state_dict(saved["schedule"])
        self.best = _Best(**saved["best"])
        for name, tensors in saved["seen"].items():
            setattr(self.seen, name, [tensor.to(device) for tensor in tensors])
        seconds, self.seconds_training = saved.get("seconds", (0.0, 0.0))
        self.started = time.perf_counter() - seconds
        self.snapshot = saved
        restore_random_states(saved["random"])
        if self.tracker:
            self.tracker.load(saved["tracker"])
