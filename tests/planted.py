"""Data and models in which one thing alone is broken, for tests and the benchmark of diagnoses."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from evenhand.batch import Split
from evenhand.methods._logistic import fit_l1_logistic
from evenhand.model import Model

CAUSES = ("nothing", "data", "representation", "classifier")
SIGNAL, SPURIOUS, REST, HIDDEN = 2, 2, 6, 48
N_INPUTS = 2 * SIGNAL + SPURIOUS + REST
RATE = 0.25  # of wrong labels, as Jones et al. (2023) inject them
LARGE, SMALL = 0.45, 0.05  # shares of the groups of a biased data set


class _Fixed(nn.Module):
    """A linear map of the inputs, and a random layer over it."""

    def __init__(self, map_MI: Tensor, rng: Generator) -> None:
        super().__init__()
        self.map_MI = nn.Buffer(map_MI)
        self.weight = nn.Buffer(torch.randn(HIDDEN, len(map_MI), generator=rng) / len(map_MI) ** 0.5 / 2)
        self.bias = nn.Buffer(torch.randn(HIDDEN, generator=rng) / 2)

    def forward(self, x_BI: Tensor) -> Tensor:
        return torch.tanh(x_BI @ self.map_MI.T @ self.weight.T + self.bias)


def planted(cause: str, seed: int, n_train: int = 6000, n_val: int = 2000) -> tuple[Model, Split, Split]:
    """A model, its training and validation rows; `cause` alone is wrong with them.

    Inputs have two coordinates that tell the class of rows with a = 0, two that tell it of rows with a = 1 (each weak
    where it does not), two that tell a, and noise; features are a random layer's.

        nothing         balanced groups, right labels, features that are the inputs, a classifier of these
        data            balanced groups, but labels of class 1 with a = 1 are wrong (even seeds), or of both (odd)
        representation  biased groups; the layer does not see what tells the class where a = 1 (even seeds), or sees a
                        well and the class hardly, beneath noise (odd)
        classifier      biased groups; the layer sees all, and the classifier is fitted to the rows as they are
    """
    rng = Generator().manual_seed(seed)
    biased = cause in ("representation", "classifier")
    parts = [_rows(n, biased, cause, seed, rng) for n in (n_train, n_val)]
    encoder = nn.Identity() if cause == "nothing" else _Fixed(_map(cause, seed), rng)
    n_features = N_INPUTS if cause == "nothing" else HIDDEN
    model = Model.linear(encoder, n_features, 2).eval()
    _fit_plainly(model, parts[0])
    return model, parts[0], parts[1]


def _map(cause: str, seed: int) -> Tensor:
    """(M, I) what of the inputs the random layer sees."""
    map_MI = torch.eye(N_INPUTS)
    if cause != "representation":
        return map_MI
    if seed % 2 == 0:
        map_MI[SIGNAL : 2 * SIGNAL] = 0
        return map_MI
    map_MI[: 2 * SIGNAL] *= 0.25
    map_MI[: 2 * SIGNAL, -2 * SIGNAL :] = torch.eye(2 * SIGNAL)
    return map_MI[: 2 * SIGNAL + SPURIOUS]


def _rows(n_rows: int, biased: bool, cause: str, seed: int, rng: Generator) -> Split:
    share_G = torch.tensor([LARGE, SMALL, SMALL, LARGE] if biased else [0.25] * 4)
    group_N = torch.multinomial(share_G, n_rows, replacement=True, generator=rng)
    y_N, a_N = group_N // 2, group_N % 2
    x_NI = torch.randn(n_rows, N_INPUTS, generator=rng)
    sign_N, side_N = 2.0 * y_N - 1, 2.0 * a_N - 1
    x_NI[:, :SIGNAL] += (1.3 * sign_N * (a_N == 0))[:, None]
    x_NI[:, SIGNAL : 2 * SIGNAL] += (1.3 * sign_N * (a_N == 1))[:, None]
    x_NI[:, 2 * SIGNAL : 2 * SIGNAL + SPURIOUS] += 1.5 * side_N[:, None]
    if cause == "data":
        eligible_N = (a_N == 1) & ((y_N == 1) | (seed % 2 == 1))
        flipped_N = eligible_N & (torch.rand(n_rows, generator=rng) < RATE)
        y_N = torch.where(flipped_N, 1 - y_N, y_N)
    return Split.of(x_NI, y_N, a_N, n_classes=2, attribute_sizes=(2,))


@torch.no_grad()
def _fit_plainly(model: Model, train: Split) -> None:
    """A logistic fit of the classifier to all rows alike."""
    features_ND = model.encoder(train.inputs.take(torch.arange(len(train))))
    weight_N1 = torch.full((len(train), 1), 1 / len(train))
    found = fit_l1_logistic(features_ND, train.y, weight_N1, torch.tensor([1 / len(train)]))
    model.classifier.weight.copy_(torch.cat([-found.weight[0], found.weight[0]]) / 2)
    model.classifier.bias.copy_(torch.cat([-found.bias[0], found.bias[0]]) / 2)
