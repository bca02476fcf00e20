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
        if of not in ("classes", "rows"):
            raise BadInput(f"centre must be 'classes' or 'rows', got {of!r}")
        cells = self.present()
        if len(cells.count_K) == 0:
            return self.mean_KD.new_full(self.mean_KD.shape[1:], torch.nan)
        weight_K = cells.count_K if of == "rows" else torch.ones_like(cells.count_K)
        # Relative to the first, so that equal means have exactly that mean.
        near_D = cells.mean_KD[0]
        return near_D + (weight_K / weight_K.sum()) @ (cells.mean_KD - near_D)

    def centred_KD(self, of: Centre = "classes") -> Tensor:
        """(K, D) means as seen from `centre_D(of)`."""
        return self.mean_KD - self.centre_D(of)


def nan_mean(values: Tensor) -> float:
    """The mean of what is defined; NaN where nothing is."""
    return float(torch.nanmean(values.double()))
