"""`Cells`: count, mean and spread of the rows of each group, class or attribute value."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from evenhand.errors import BadInput

Centre = Literal["classes", "rows"]


class Cells(NamedTuple):
    """What is known of the rows of K cells, in float64; a cell without rows has count 0 and NaN elsewhere.

    Attributes:
        count_K: (K,) rows, whole numbers.
        mean_KD: (K, D) mean feature.
        spread_KD: (K, D) sum over rows of the squared deviation from the cell's mean, in each dimension.
        norm_K: (K,) mean length of a feature.
    """

    count_K: Tensor  # noqa: N815
    mean_KD: Tensor  # noqa: N815
    spread_KD: Tensor  # noqa: N815
    norm_K: Tensor  # noqa: N815

    @property
    def present_K(self) -> Tensor:
        """(K,) bool, whether there are rows."""
        return self.count_K > 0

    def present(self) -> Cells:
        """Without the cells that have no rows."""
        return Cells(*(values[self.present_K] for values in self))

    def centre_D(self, of: Centre = "classes") -> Tensor:
        """The global mean μ_G that class means are looked at from: the mean of means, or the mean of all rows.

        Papyan, Han and Donoho (2020) and Mouheb et al. (2024) take "classes", the unweighted mean of the means;
        Zhu et al. (2021) take "rows". They agree where all cells are equally large. Cells without rows are left out;
        NaN where none has any.

        Raises:
            BadInput: another name.
        """
        cells = self.present()
        if of == "classes":
            return cells.mean_KD.mean(0)
        if of == "rows":
            return weighted_mean(cells.mean_KD, cells.count_K)
        raise BadInput(f"centre must be 'classes' or 'rows', got {of!r}")

    def centred_KD(self, of: Centre = "classes") -> Tensor:
        """(K, D) means as seen from `centre_D(of)`."""
        return self.mean_KD - self.centre_D(of)


def weighted_mean(values_KD: Tensor, weight_K: Tensor) -> Tensor:
    """(D,) mean; NaN where all weights are 0."""
    return (values_KD * (weight_K / weight_K.sum())[:, None]).sum(0)


def nan_mean(values: Tensor) -> float:
    """The mean of what is defined; NaN where nothing is."""
    return float(torch.nanmean(values.double()))
