"""`Settings`: how a model is trained, whatever the method."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from evenhand.errors import BadInput

Selection = Literal["worst_group", "worst_class", "class_gap", "average", "group_mean", "last"]
OR_NONE = ("bottleneck", "patience")  # whole numbers that may be none


@dataclass(frozen=True)
class Settings:
    """Optimizer, schedule, selection and seed of a run; part of its configuration and so of its name.

    Attributes:
        encoder: name of the encoder, see `evenhand.encoders`.
        weights: what the encoder begins with: `none` (random), `pretrained` (the published ones, downloaded where there
            is a network), or the path of a file of weights.
        widths: of the encoder's layers, such as `64,64`; none takes the encoder's own.
        bottleneck: the features' number, where an extra linear layer from the encoder's features is to have so few, at
            least 1, before the classifier, as 3 to look at them in space; None leaves it out.
        pretrain: the self-supervised objective, see `evenhand.pretraining`, by which commands train the encoder on the
            training images, without labels, before the method begins; `none` leaves it out.
        pretrain_epochs: passes over the training images for that.
        pretrain_options: of the objective, such as `lr=0.1,batch_size=128`.
        augment: what training images go through, such as `crop+flip+randaugment`; none leaves it to the data set.
        epochs: passes over the training split (each stage of a method may set its own).
        batch_size: rows per step.
        optimizer: `adam`, `adamw` or `sgd`, in the fused implementation where the device has one.
        lr: learning rate, per step.
        weight_decay: in the optimizer's own sense (decoupled for `adamw`).
        momentum: of `sgd`, in [0, 1).
        schedule: `constant`; `cosine` to 0 over the epochs; `onecycle`: up over the first 30 % of the epochs, then a
            cosine to 0; `step`: times `step_factor` every `step_epochs` epochs.
        step_epochs: epochs between two changes of the `step` schedule, at least 1.
        step_factor: by which the `step` schedule multiplies the learning rate, in (0, 1].
        clip: largest L2 norm of the gradient; None does not clip.
        patience: stop after so many epochs without a better selection score; None trains all epochs.
        select: what validation accuracy chooses the epoch: of the worst group, of the worst class, over all rows,
            the unweighted mean over groups, or `class_gap`, one minus the difference between the best and the worst
            class. Of equal epochs the first is kept. `last` chooses nothing: the last epoch is kept, whatever its
            figures; the recorded score is then the accuracy over all rows, and patience cannot be used.
        precision: as Lightning Fabric names it: `32-true`, `bf16-mixed` or `16-mixed`.
        device: `auto`, `cpu`, `cuda`, `mps`.
        threads: CPU threads of the run. Results are bit for bit the same only for the same number of threads.
        seed: of initialisation, order and every other draw.
    """

    encoder: str = "mlp"
    weights: str = "none"
    widths: tuple[int, ...] | None = None
    # Not shown: checkpoints know their training by the settings' text, and older ones have no such field.
    bottleneck: int | None = field(default=None, repr=False)
    pretrain: str = "none"
    pretrain_epochs: int = 100
    pretrain_options: tuple[str, ...] = ()
    augment: str | None = None
    epochs: int = 50
    batch_size: int = 256
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    lr: float = 1e-3
    weight_decay: float = 0.0
    momentum: float = 0.9
    schedule: Literal["constant", "cosine", "onecycle", "step"] = "constant"
    step_epochs: int = 30
    step_factor: float = 0.1
    clip: float | None = None
    patience: int | None = None
    select: Selection = "worst_group"
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = "32-true"
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    threads: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "pretrain_epochs", "batch_size", "step_epochs", "threads", *OR_NONE):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise BadInput(f"{name} must be at least 1{' or none' if name in OR_NONE else ''}, got {value}")
        if self.widths is not None and (not self.widths or min(self.widths) < 1):
            raise BadInput(f"widths must be whole numbers of at least 1, got {self.widths}")
        if self.bottleneck is not None and self.pretrain != "none":
            raise BadInput("bottleneck must be none with pretrain: its objective would train the bottleneck, too")
        if self.lr <= 0:
            raise BadInput(f"lr must be positive, got {self.lr}")
        if self.weight_decay < 0:
            raise BadInput(f"weight_decay must not be negative, got {self.weight_decay}")
        if not 0 <= self.momentum < 1:
            raise BadInput(f"momentum must lie in [0, 1), got {self.momentum}")
        if not 0 < self.step_factor <= 1:
            raise BadInput(f"step_factor must lie in (0, 1], got {self.step_factor}")
        if self.clip is not None and self.clip <= 0:
            raise BadInput(f"clip must be positive or none, got {self.clip}")
        if self.patience is not None and self.select == "last":
            raise BadInput(f"select=last trains all epochs; patience must be none with it, got {self.patience}")
        if not 0 <= self.seed < 2**63:
            raise BadInput(f"seed must lie in 0..2^63-1, got {self.seed}")
