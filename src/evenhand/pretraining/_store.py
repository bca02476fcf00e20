"""Pretrained encoders kept beside the runs, each made once: `OUT/pretrained/OBJECTIVE-HASH.safetensors`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from filelock import BaseFileLock, FileLock
from safetensors import SafetensorError, safe_open

from evenhand.batch import Inputs
from evenhand.errors import BadInput
from evenhand.files import TEMPORARY, cannot_write, write_atomically
from evenhand.model import Model
from evenhand.pretraining import chosen
from evenhand.pretraining._loop import Record, pretrain
from evenhand.settings import Settings

FORMAT = 1  # raised when the same configuration comes to give another encoder
FOLDER = "pretrained"
ABOUT = "evenhand"  # the one entry of the file that is no tensor: what it is of, and its losses
READ = ("encoder", "weights", "widths", "pretrain", "pretrain_epochs", "precision", "device", "threads", "seed")


@dataclass(frozen=True)
class Pretraining:
    """How far the pretraining of an encoder is.

    Attributes:
        objective: its name.
        epoch, epochs: how many are done, and of how many.
        losses: mean loss of each epoch so far.
        file: where the encoder is kept once it is done.
        found: it was there already, nothing was trained.
    """

    objective: str
    epoch: int
    epochs: int
    losses: tuple[float, ...]
    file: Path
    found: bool = False

    def __str__(self) -> str:
        if self.epoch < self.epochs:
            return f"pretraining by {self.objective}, epoch {self.epoch} of {self.epochs}"
        how = (
            "found"
            if self.found
            else f"loss {self.losses[0]:.4g} in the first epoch, {self.losses[-1]:.4g} in the last"
        )
        epochs = f"{self.epochs} epoch{'' if self.epochs == 1 else 's'}"
        return f"Encoder pretrained by {self.objective} for {epochs} ({how}): {self.file}"


def begin_with_pretrained(
    model: Model,
    inputs: Inputs,
    settings: Settings,
    out: Path,
    identity: Mapping[str, Any],
    *,
    checkpoint_every: float = 30.0,
    on_progress: Callable[[Pretraining], None] | None = None,
) -> Path:
    """Give `model.encoder` the weights of the encoder that `settings.pretrain` makes of it, and say where they are.

    They are made once: who comes later finds the file, and who comes meanwhile waits for it. A killed pretraining is
    continued.

    Args:
        model: as `plan.new_model` builds it for these settings.
        inputs: of the training rows.
        out: the folder of the runs.
        identity: what identifies the data and the encoder's first weights beyond the settings.
        on_progress: called after each epoch, and at once where the file is there.

    Raises:
        BadInput: the objective does not fit encoder or inputs, or the file is damaged or of another pretraining.
        RunFailed: the loss became infinite or NaN, or nothing can be written.
    """
    tell = on_progress or (lambda _: None)
    of = configuration(settings, identity)
    file = out / FOLDER / f"{name_of(settings, of)}.safetensors"
    found = file.exists() or not _make(model, inputs, settings, file, of, every=checkpoint_every, tell=tell)
    weights, losses = _read(file, of)
    model.encoder.load_state_dict(weights)
    if found:
        tell(Pretraining(settings.pretrain, len(losses), settings.pretrain_epochs, tuple(losses), file, found=True))
    return file


def configuration(settings: Settings, identity: Mapping[str, Any]) -> str:
    """Everything that determines the pretrained encoder, as JSON."""
    read = {name: getattr(settings, name) for name in READ}
    of = {"format": FORMAT, **identity, "settings": read, "options": asdict(chosen(settings))}
    return json.dumps(of, sort_keys=True, allow_nan=False)


def name_of(settings: Settings, configuration: str) -> str:
    """`objective-hash`."""
    return f"{settings.pretrain}-{hashlib.sha256(configuration.encode()).hexdigest()[:12]}"


def _make(
    model: Model,
    inputs: Inputs,
    settings: Settings,
    file: Path,
    of: str,
    *,
    every: float,
    tell: Callable[[Pretraining], None],
) -> bool:
    """Make the file, unless another process has made it by the time this one may; whether it was made here."""
    snapshot, lock = file.with_name(f".{file.stem}.pt"), FileLock(file.with_name(f".{file.stem}.lock"))
    try:
        file.parent.mkdir(exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise cannot_write(file, error) from error
    try:
        if file.exists():
            _remove(lock)
            return False
        for left_behind in file.parent.glob(f".*{file.stem}.*{TEMPORARY}"):
            left_behind.unlink()

        def note(history: list[Record]) -> None:
            losses = tuple(record["loss"] for record in history)
            tell(Pretraining(settings.pretrain, len(history), settings.pretrain_epochs, losses, file))

        made = deepcopy(model)
        history = pretrain(made, inputs, settings, checkpoint=snapshot, checkpoint_every=every, on_epoch=note)
        weights = {name: tensor.cpu().contiguous() for name, tensor in made.encoder.state_dict().items()}
        about = json.dumps({"of": of, "losses": [record["loss"] for record in history]})
        write_atomically(file, safetensors.torch.save(weights, {ABOUT: about}))
        snapshot.unlink(missing_ok=True)
        _remove(lock)
        return True
    finally:
        lock.release()


def _remove(lock: BaseFileLock) -> None:
    """Delete the lock's file: whoever waits for it, or makes a new one of its name, finds the encoder."""
    with suppress(OSError):
        Path(lock.lock_file).unlink()


def _read(file: Path, of: str) -> tuple[dict[str, Any], list[float]]:
    """The weights and the loss of each epoch.

    Raises:
        BadInput: the file is damaged, or of another pretraining.
    """
    try:
        with safe_open(file, framework="pt") as opened:
            about, names = json.loads((opened.metadata() or {}).get(ABOUT, "{}")), opened.keys()
            weights = {name: opened.get_tensor(name) for name in names}
    except (OSError, SafetensorError, ValueError) as error:
        raise BadInput(f"the pretrained encoder {file} cannot be read ({error}); remove it to train it anew") from error
    if about.get("of") != of:
        raise BadInput(f"{file} holds an encoder of another pretraining; remove it to train this one")
    return weights, about["losses"]
