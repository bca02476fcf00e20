"""Features with hidden groups that are known to the test alone."""

from __future__ import annotations

import numpy as np

from evenhand.discovery.kinds._base import Array, Rows


def planted(
    sizes: tuple[tuple[int, ...], ...] = ((300, 40), (200, 30)),
    *,
    seed: int = 0,
    apart: float = 8.0,
    n_features: int = 6,
) -> tuple[Rows, Array]:
    """Rows and the hidden group of each in its class; sizes are by class and group.

    The second group of a class lies opposite to the first, so that no linear classifier is right on all of them. The
    model is right on the first group of each class, and on a tenth of the others.
    """
    rng = np.random.default_rng(seed)
    y_N = np.concatenate([np.full(sum(of_class), c) for c, of_class in enumerate(sizes)])
    hidden_N = np.concatenate([np.repeat(np.arange(len(of_class)), of_class) for of_class in sizes])
    middle = np.random.default_rng(99).normal(size=(len(sizes), max(map(len, sizes)), n_features))
    middle *= apart / np.linalg.norm(middle, axis=2, keepdims=True)
    middle[:, 1] = -middle[:, 0]
    x_ND = middle[y_N, hidden_N] + rng.normal(size=(len(y_N), n_features))
    right_N = (hidden_N == 0) | (rng.random(len(y_N)) < 0.1)
    predicted_N = np.where(right_N, y_N, (y_N + 1) % len(sizes))
    logits_NC = rng.normal(scale=0.1, size=(len(y_N), len(sizes)))
    logits_NC[np.arange(len(y_N)), predicted_N] += 3
    order = rng.permutation(len(y_N))
    rows = Rows(x_ND[order].astype(np.float32), y_N[order], len(sizes), logits_NC[order].astype(np.float32))
    return rows, hidden_N[order]
