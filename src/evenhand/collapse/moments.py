"""`Moments`: what neural collapse is measured by, gathered in one pass over the features."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from evenhand.errors import BadInput

from . import _checked
from ._checked import Array
from ._gram import add_gram, symmetric
from ._segments import Segments
from .cells import Cells

NUMBERS_AT_ONCE, MOST_NUMBERS = 2**22, 2**25


@dataclass(eq=False)
class Moments:
    """Count, mean and scatter of the features of every group, in memory that does not grow with the rows.

        for features_ND, y_N, group_N in batches:
            moments.update(features_ND, y_N, group_N)

    Groups are `g = y * A + a`; with one attribute value the class is the group. Rows may come in any order and any
    pieces: each piece is centred at its own group means, and joined to the others by the pairwise update of Chan,
    Golub and LeVeque (1979), so that nothing cancels, however far the means lie from 0 and from each other. What is
    kept is float64, also where features are float32, which they stay in the products over rows. Pieces of more rows
    than there are groups are the fastest.

    Attributes:
        n_features: D.
        n_classes: C.
        n_attributes: A; G = C * A.
        full: also keep the scatter within groups as one (D, D) matrix, which `nc1_papyan` and its kin need; without,
            the scatter in each dimension.
        device: where it is computed; pieces are brought there.

    Raises:
        BadInput: a size below 1.
    """

    n_features: int
    n_classes: int
    n_attributes: int = 1
    full: bool = False
    device: torch.device | str = "cpu"
    count_G: Tensor = field(init=False, repr=False)  # noqa: N815 (G,) float64, whole numbers
    _mean_GD: Tensor = field(init=False, repr=False)  # noqa: N815 0 without rows
    _spread_GD: Tensor = field(init=False, repr=False)  # noqa: N815
    _norm_G: Tensor = field(init=False, repr=False)  # noqa: N815 sum of lengths
    _scatter_DD: Tensor | None = field(init=False, repr=False, default=None)  # noqa: N815 blocks on and above the diagonal

    _known: dict[int, Cells] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        _checked.sizes(n_features=self.n_features, n_classes=self.n_classes, n_attributes=self.n_attributes)
        self.device = torch.device(self.device)
        shape = (self.n_groups, self.n_features)
        self._mean_GD, self._spread_GD = self._zeros(*shape), self._zeros(*shape)
        self.count_G, self._norm_G = self._zeros(self.n_groups), self._zeros(self.n_groups)
        self._scatter_DD = self._zeros(self.n_features, self.n_features) if self.full else None

    def _zeros(self, *shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.float64, device=self.device)

    @property
    def n_groups(self) -> int:
        """G = C * A."""
        return self.n_classes * self.n_attributes

    @torch.no_grad()
    def update(self, features_ND: Array, y_N: Array, group_N: Array | None = None) -> None:
        """Add rows: features of any real dtype, classes, and groups where there is more than one attribute value.

        Raises:
            BadInput: shapes or indices that do not fit, or a feature that is infinite, not a number, or too long for
                its precision. Pieces before that one are counted.
        """
        features = _checked.table("features", features_ND, self.n_features)
        device = torch.device(self.device)
        group = _checked.groups(y_N, group_N, len(features), self.n_classes, self.n_attributes, device=device)
        # A chunk has far more rows than there are groups, since joining adds a row a group to its Gram product.
        at_once = max(NUMBERS_AT_ONCE // self.n_features, 8 * self.n_groups)
        at_once = max(1, min(at_once, MOST_NUMBERS // self.n_features, len(features)))
        buffers = _Buffers(at_once + min(at_once, self.n_groups))
        for begin in range(0, len(features), at_once):
            x_BD = _checked.working(features[begin : begin + at_once], device)
            self._add(x_BD, group[begin : begin + at_once], begin, buffers)

    def _add(self, x_BD: Tensor, group_B: Tensor, begin: int, buffers: _Buffers) -> None:
        norm_B = torch.linalg.vector_norm(x_BD, dim=1)
        if not bool(norm_B.isfinite().all()):
            row = begin + int(torch.nonzero(~norm_B.isfinite())[0])
            raise BadInput(f"features must be finite, but row {row} has length {float(norm_B[row - begin])}")
        segments = Segments(group_B, self.n_groups)
        rest_RD, other_RD = buffers.like(x_BD)
        rest_BD, other_BD = rest_RD[: len(x_BD)], other_RD[: len(x_BD)]
        mean_PD = _centre(x_BD, segments, rest_BD, other_BD)
        norm_P = self._norm_G.new_zeros(len(mean_PD)).index_add_(0, segments.own_B, norm_B.double())
        spread_PD = segments.sum(torch.mul(rest_BD, rest_BD, out=other_BD))
        step_PD = self._join(segments.group_P, segments.count_P.double(), mean_PD, spread_PD, norm_P)
        if self._scatter_DD is not None:
            n_rows = len(x_BD) + len(step_PD)
            rest_RD[len(x_BD) : n_rows] = step_PD
            add_gram(self._scatter_DD, rest_RD[:n_rows])

    def _join(self, group_P: Tensor, count_P: Tensor, mean_PD: Tensor, spread_PD: Tensor, norm_P: Tensor) -> Tensor:
        """Add the rows of distinct groups; (P, D) whose Gram product is the scatter between the old rows and these."""
        self._known.clear()
        before_P = self.count_G[group_P]
        share_P = count_P / (before_P + count_P).clamp(min=1)
        delta_PD = mean_PD - self._mean_GD[group_P]
        step_PD = delta_PD * (before_P * share_P).sqrt()[:, None]
        self._mean_GD[group_P] += delta_PD * share_P[:, None]
        self._spread_GD[group_P] += spread_PD + step_PD.square()
        self._norm_G[group_P] += norm_P
        self.count_G[group_P] += count_P
        return step_PD

    @torch.no_grad()
    def merge(self, other: Moments) -> Moments:
        """The moments of the rows of both, on the device of this one; the order matters to rounding only.

        Raises:
            BadInput: they differ in features, classes, attribute values or `full`.
        """
        mine, theirs = self._shape, other._shape
        if mine != theirs:
            raise BadInput(f"moments to be merged must be of one shape, got {mine} and {theirs}")
        both = Moments(self.n_features, self.n_classes, self.n_attributes, self.full, self.device)
        group_G = torch.arange(self.n_groups, device=self.device)
        for one in (self, other):
            kept = (one.count_G, one._mean_GD, one._spread_GD, one._norm_G)
            step_GD = both._join(group_G, *(values.to(self.device) for values in kept))
            if both._scatter_DD is not None and one._scatter_DD is not None:
                both._scatter_DD += one._scatter_DD.to(self.device)
                add_gram(both._scatter_DD, step_GD)
        return both

    @property
    def _shape(self) -> dict[str, int | bool]:
        names = ("n_features", "n_classes", "n_attributes", "full")
        return {name: getattr(self, name) for name in names}

    def groups(self) -> Cells:
        """Of each group (G), in the order of `y * A + a`."""
        return self._together(1)

    def classes(self) -> Cells:
        """Of each class (C), over all its groups: `spread` is around the mean of the class."""
        return self._together(self.n_attributes)

    def everything(self) -> Cells:
        """Of all rows (1): `spread` is around the mean of all."""
        return self._together(self.n_groups)

    def _together(self, size: int) -> Cells:
        """Each `size` consecutive groups as one cell; kept until there are more rows."""
        if size not in self._known:
            self._known[size] = self._cells(size)
        return self._known[size]

    def _cells(self, size: int) -> Cells:
        count_KS = self.count_G.view(-1, size)
        count_K = count_KS.sum(1)
        share_KS = count_KS / count_K[:, None]  # 0 / 0: NaN without rows
        mean_KSD = self._mean_GD.view(-1, size, self.n_features)
        # Relative to that of the largest group, so that equal means have exactly that mean.
        near_K1D = mean_KSD.take_along_dim(count_KS.argmax(1)[:, None, None], 1)
        mean_KD = near_K1D[:, 0] + torch.einsum("ks,ksd->kd", share_KS, mean_KSD - near_K1D)
        between_KSD = count_KS[:, :, None] * (mean_KSD - mean_KD[:, None]).square()
        spread_KD = (self._spread_GD.view_as(mean_KSD) + between_KSD).sum(1)
        return Cells(count_K, mean_KD, spread_KD, self._norm_G.view(-1, size).sum(1) / count_K)

    def class_scatter_DD(self) -> Tensor:
        """(D, D) sum over all rows of the outer product of their deviation from their class's mean: N * Σ_W.

        Raises:
            BadInput: not `full`.
        """
        if self._scatter_DD is None:
            raise BadInput("this needs the scatter as a matrix: Moments(…, full=True)")
        within_DD = symmetric(self._scatter_DD)
        if self.n_attributes == 1:
            return within_DD
        offset_GD = self._mean_GD - self.classes().mean_KD.repeat_interleave(self.n_attributes, 0)
        offset_GD = torch.where(self.count_G[:, None] > 0, offset_GD * self.count_G.sqrt()[:, None], 0)
        return within_DD + offset_GD.T @ offset_GD


class _Buffers:
    """Memory for a chunk of rows, twice, used for all chunks: new memory costs more time than what is done in it."""

    def __init__(self, n_rows: int) -> None:
        self._n_rows = n_rows
        self._both: tuple[Tensor, Tensor] | None = None

    def like(self, x_BD: Tensor) -> tuple[Tensor, Tensor]:
        if self._both is None:
            shape = (self._n_rows, x_BD.shape[1])
            self._both = x_BD.new_empty(shape), x_BD.new_empty(shape)
        return self._both


def _centre(x_BD: Tensor, segments: Segments, rest_BD: Tensor, other_BD: Tensor) -> Tensor:
    """(P, D) float64 group means; afterwards `rest_BD` has the rows as seen from them, `other_BD` anything."""

    def seen_from(from_BD: Tensor, place_PD: Tensor) -> None:
        torch.index_select(place_PD.to(x_BD.dtype), 0, segments.own_B, out=other_BD)
        torch.sub(from_BD, other_BD, out=rest_BD)

    # A row of the group is never far off. From there, its mean, as this precision has it; from there, what that rounds.
    first_PD = segments.first(x_BD)
    seen_from(x_BD, first_PD)
    near_PD = (first_PD.double() + segments.mean(rest_BD)).to(x_BD.dtype)
    seen_from(x_BD, near_PD)
    offset_PD = segments.mean(rest_BD)
    seen_from(rest_BD, offset_PD)
    return near_PD.double() + offset_PD
