"""`Tracker`: neural collapse in every epoch of a training."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import torch
from torch import Tensor

from evenhand.batch import Batch, Split
from evenhand.checkpoint import Tree
from evenhand.collapse import Cells, Classifier
from evenhand.evaluation import OnChunk, predict
from evenhand.model import Model
from evenhand.randomness import generator

from ._part import Figures, Part, Rows

PIECE = 2**19  # numbers of training features that wait to be looked at together: small batches would cost time
MOST_KEPT = 2**25  # numbers of training features kept to be compared with their class means; of more none are
MOST_POINTS = 2000


class Tracker:
    """Records neural collapse of each epoch, and the features of some rows at the first and the last epoch.

    Class means that rows of validation and test are compared with are those of training in the same epoch.

    Args:
        exact: training features are those of a pass in eval mode after each epoch; otherwise those of the steps, as
            they went by: of changing weights, in training mode, augmented, and none where a method feeds mixtures only.
        of_points: the part whose rows' features are kept, "val" or "test".
        seed: of which rows.
    """

    def __init__(self, *, exact: bool, of_points: str, seed: int) -> None:
        self.exact, self.of_points, self.seed = exact, of_points, seed
        self.parts: dict[str, tuple[Part, Tensor]] = {}
        self.points: dict[str, Tensor] = {}
        self.means: Cells | None = None
        self._rows_and_places: tuple[Tensor, Tensor] | None = None

    def begin_stage(self, model: Model, split: Split, train: Split) -> None:
        """Begin again, with what the stage trains on and all training rows, both with groups."""
        self.model, self.train = model, train
        self.split = train if self.exact else split
        self.points = {}
        self.begin_epoch()

    def begin_epoch(self) -> None:
        """Forget the epoch before."""
        self.parts, self.part, self.means = {}, Part(self.split, self.model), None
        self.rows: list[Tensor] = []  # rows of steps that wait to be looked at
        self.features: list[Tensor] = []  # and their features
        self.kept: list[tuple[Tensor, Tensor]] | None = []  # rows and features to be compared; None: too many
        self.n_kept = 0

    # --- training ---

    def step(self, rows_B: Tensor, features_BD: Tensor | None) -> None:
        """Note a step; `features_BD` are None where the method computed none of these very rows."""
        if features_BD is not None and len(features_BD) == len(rows_B):
            self.rows.append(rows_B)
            self.features.append(features_BD)
            if len(self.features) * features_BD.numel() >= PIECE:
                self._look()

    def _look(self) -> None:
        """Take in what waits."""
        if self.features:
            self._take(torch.cat(self.rows), torch.cat(self.features))
            self.rows, self.features = [], []

    def _take(self, rows_B: Tensor, features_BD: Tensor) -> None:
        self.part.add(self._labelled(rows_B, features_BD))
        self.n_kept += features_BD.numel()
        if self.kept is not None:
            self.kept.append((rows_B, features_BD))
        if self.n_kept > MOST_KEPT:
            self.kept = None

    def _labelled(self, rows_B: Tensor, features_BD: Tensor) -> Rows:
        split = self.split
        return features_BD, split.y[rows_B], split.group[rows_B] if split.has_attributes else None

    def end_training(self) -> None:
        """Close the training part of this epoch, before anything is evaluated."""
        if self.exact:
            predict(self.model, self.split, lambda batch, features_BD, _: self._take(batch.rows, features_BD))
        else:
            self._look()
        self.means = self.part.classes
        if self.means is None:
            return
        if self.kept is not None:
            self.part.begin_rows(self.means, Classifier.of(self.model.classifier))
            for rows_B, features_BD in self.kept:
                self.part.add_again(self._labelled(rows_B, features_BD))
        self.kept = None
        self.parts["train"] = self.part, self.train.count_G

    # --- evaluation ---

    def watch(self, name: str, split: Split, count_G: Tensor | None = None) -> OnChunk:
        """What looks at the chunks of an evaluation of this part.

        Args:
            count_G: rows of each of its groups in training, where they are not those of the training's split.
        """
        part = Part(split, self.model)
        if self.means is not None:
            part.begin_rows(self.means, Classifier.of(self.model.classifier))
        self.parts[name] = part, self.train.count_G if count_G is None else count_G
        note = self._note_points(split) if name == self.of_points else None

        def look(batch: Batch, features_BD: Tensor, logits_BC: Tensor) -> None:
            part.add((features_BD, batch.y, batch.group))
            if note:
                note(batch, features_BD, logits_BC)

        return look

    def _note_points(self, split: Split) -> OnChunk:
        rows, place_N = self._chosen(len(split))
        last_ND = torch.zeros(len(rows), self.model.classifier.in_features, dtype=torch.float16)
        predicted_N = torch.zeros(len(rows), dtype=torch.int64)
        self.points |= {"rows": rows, "y": split.y.cpu()[rows], "group": split.group.cpu()[rows]}
        self.points |= {"last": last_ND, "predicted_last": predicted_N}
        for name in ("", "predicted_"):
            self.points.setdefault(f"{name}first", self.points[f"{name}last"])
        most = torch.finfo(torch.float16).max

        def note(batch: Batch, features_BD: Tensor, logits_BC: Tensor) -> None:
            place_B = place_N[batch.rows.cpu()]
            hit = torch.nonzero(place_B >= 0).flatten()
            there = hit.to(features_BD.device)
            last_ND[place_B[hit]] = features_BD.index_select(0, there).clamp(-most, most).half().cpu()
            predicted_N[place_B[hit]] = logits_BC.index_select(0, there).argmax(1).cpu()

        return note

    def _chosen(self, n_rows: int) -> tuple[Tensor, Tensor]:
        """(M,) the rows whose features are kept, in order, and (N,) the place of each row among them, or -1."""
        if self._rows_and_places is None or len(self._rows_and_places[1]) != n_rows:
            rows = torch.arange(n_rows)
            if n_rows > MOST_POINTS:
                rows = torch.randperm(n_rows, generator=generator(self.seed))[:MOST_POINTS].sort().values
            place_N = torch.full((n_rows,), -1)
            place_N[rows] = torch.arange(len(rows))
            self._rows_and_places = rows, place_N
        return self._rows_and_places

    def figures(self) -> dict[str, Figures]:
        """Of each part in this epoch, when all were evaluated; one with a feature that is not finite is left out."""
        classifier = Classifier.of(self.model.classifier)
        found = {name: part.figures(classifier, count_G) for name, (part, count_G) in self.parts.items()}
        return {name: each for name, each in found.items() if each}

    def points_file(self) -> bytes:
        """`points.npz`."""
        names = {
            "first": "first_ND", "last": "last_ND", "rows": "rows_N", "y": "y_N", "group": "group_N",
            "predicted_first": "predicted_first_N", "predicted_last": "predicted_last_N",
        }  # fmt: skip
        arrays: dict[str, Any] = {names[name]: values.numpy() for name, values in self.points.items()}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, part=np.array(self.of_points), **arrays)
        return buffer.getvalue()

    # --- snapshots ---

    def state(self) -> Tree:
        """All that continuing needs, between two steps or two epochs."""
        return {
            "part": self.part.state(), "points": self.points, "rows": self.rows, "features": self.features,
            "kept": self.kept, "n_kept": self.n_kept,
        }  # fmt: skip

    def load(self, saved: Tree) -> None:
        """Continue from `state`, in the stage that it is of."""
        device = self.model.classifier.weight.device
        self.part.load(saved["part"])
        self.points, self.n_kept = dict(saved["points"]), saved["n_kept"]
        self.rows, self.features = ([each.to(device) for each in saved[name]] for name in ("rows", "features"))
        kept = saved["kept"]
        self.kept = None if kept is None else [(rows.to(device), features.to(device)) for rows, features in kept]
