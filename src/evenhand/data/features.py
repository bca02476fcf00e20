"""Features of another data set, stored once in a file by `evenhand features`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from evenhand.data._base import Data, DataSet, Kind, Sealed
from evenhand.errors import BadInput

if TYPE_CHECKING:
    from evenhand.batch import Inputs, Split
    from evenhand.data._feature_file import FeatureFile


@dataclass(frozen=True)
class Features(DataSet):
    """What an encoder makes of the rows of a data set, in a file that is mapped into memory.

    Attributes:
        path: the file.
        standardise: bring every feature to mean 0 and standard deviation 1 over the training rows; one that is
            constant there becomes 0. Otherwise features are as the encoder gave them.
    """

    kind: ClassVar[Kind] = "own"
    title: ClassVar[str] = "Features that an encoder made of other data"
    licence: ClassVar[str] = "as the data that they are of"
    recommended: ClassVar[Mapping[str, Any]] = {
        "encoder": "identity",
        "epochs": 50,
        "batch_size": 256,
        "optimizer": "adam",
        "lr": 1e-3,
        "schedule": "cosine",
    }

    path: str = ""
    standardise: bool = False

    def load(self, root: Path | None) -> Data:
        """Read the labels, and map the features; the root plays no part.

        Raises:
            BadInput: the file is missing, cut off, something else, or has labels outside their range.
        """
        file = self._file()
        scale = _scale(file.array("train.features")) if self.standardise else None
        train, val, test = (_part(file, part, scale) for part in file.rows)
        return Data(
            Path(self.path).stem,
            train,
            val,
            Sealed(test),
            file.fingerprint,
            self.recommended,
            options={key: value for key, value in self.chosen_options().items() if key != "path"},
        )

    def check(self, root: Path | None) -> list[str]:
        """What is wrong with the file, in one sentence; empty when every byte is as it was written."""
        file = self._file()
        damage = file.damage()
        return [damage] if damage else super().check(root)

    def _file(self) -> FeatureFile:
        from evenhand.data._feature_file import read

        if not self.path:
            raise BadInput("features stands for a file of features: give its path, which ends in .safetensors")
        return read(Path(self.path))


def _part(file: FeatureFile, part: str, scale: tuple[Any, Any] | None) -> Split:
    import torch

    from evenhand.batch import Split
    from evenhand.inputs.mapped import MappedFeatures

    labels = file.facts["labels"]
    attributes = labels["attributes"]
    features = torch.from_numpy(file.array(f"{part}.features"))
    inputs: Inputs = MappedFeatures(features, *(scale or ()))
    return Split(
        inputs=inputs,
        y=torch.from_numpy(file.array(f"{part}.y").copy()),
        n_classes=len(labels["classes"]),
        attributes=torch.from_numpy(file.array(f"{part}.attributes").copy()) if attributes else None,
        attribute_sizes=tuple(len(each["values"]) for each in attributes),
        class_names=tuple(labels["classes"]),
        attribute_names=tuple(each["name"] for each in attributes),
        attribute_values=tuple(tuple(each["values"]) for each in attributes),
        label_name=labels["label"],
    )


def _scale(x_ND: Any, n_rows: int = 4096) -> tuple[Any, Any]:
    """(D,) mean, and (D,) 1 / standard deviation, of rows that need not fit in memory: two passes in double precision.

    A feature that is constant but for rounding gets 0 for the latter.
    """
    import numpy as np
    import torch

    def mean(of: Any) -> Any:
        return sum(of(x_ND[k : k + n_rows].astype(np.float64)).sum(0) for k in range(0, len(x_ND), n_rows)) / len(x_ND)

    mean_D = mean(lambda x: x)
    sd_D = np.sqrt(mean(lambda x: (x - mean_D) ** 2))
    constant_D = sd_D <= 1e-6 * np.abs(mean_D)
    inverse_D = np.where(constant_D, 0.0, 1 / np.where(constant_D, 1.0, sd_D))
    return torch.from_numpy(mean_D.astype(np.float32)), torch.from_numpy(inverse_D.astype(np.float32))
