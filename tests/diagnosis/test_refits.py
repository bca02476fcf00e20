"""Refits on frozen features."""

from __future__ import annotations

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F

from evenhand.diagnosis import refits
from evenhand.diagnosis.refits import Fold, Labelled


def made(n_rows: int = 240, n_classes: int = 2, seed: int = 0) -> Labelled:
    rng = torch.Generator().manual_seed(seed)
    y = torch.randint(n_classes, (n_rows,), generator=rng)
    group = 2 * y + (torch.rand(n_rows, generator=rng) < 0.2)
    x = torch.randn(n_rows, 4, generator=rng)
    x[:, 0] += 1.5 * y
    return Labelled(x, y, group, n_classes, 2 * n_classes)


def test_folds_judge_every_row_once_and_share_out_every_group() -> None:
    group_N = made().group
    parts = refits.folds(group_N)
    assert torch.equal(torch.cat([part.judge for part in parts]).sort().values, torch.arange(len(group_N)))
    for part in parts:
        assert not set(part.fit.tolist()) & set(part.judge.tolist())
        counts = torch.bincount(group_N[part.judge], minlength=4) * len(parts) - torch.bincount(group_N, minlength=4)
        assert counts.abs().max() <= len(parts)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_no_row_is_judged_by_a_fit_that_saw_its_label(n_classes: int) -> None:
    rows = made(n_classes=n_classes)
    parts = refits.folds(rows.group)
    before = refits.balanced_logits(rows, parts)
    judged = parts[2].judge
    y, group = rows.y.clone(), rows.group.clone()
    y[judged], group[judged] = 0, 1
    after = refits.balanced_logits(rows._replace(y=y, group=group), parts)
    # The solver stops for all fits together, so that others shift one within its tolerance.
    torch.testing.assert_close(before[judged].softmax(1), after[judged].softmax(1), atol=2e-3, rtol=0)
    others = parts[0].judge
    assert (before[others].softmax(1) - after[others].softmax(1)).abs().max() > 0.05


def test_a_fit_reaches_the_objective_that_scikit_learn_reaches() -> None:
    rows, C = made(400), 0.1
    everything = torch.arange(400)
    layer = refits._fitted(rows, [(everything, C)])[0]
    weight_N = refits.balancing(rows.group, 4)

    def objective(weight_D: torch.Tensor, bias: float) -> float:
        loss_N = F.softplus((1 - 2 * rows.y.double()) * (rows.x.double() @ weight_D + bias))
        return float((weight_N * loss_N).sum() + weight_D.abs().sum() / (C * 400))

    theirs = LogisticRegression(C=C, l1_ratio=1, solver="saga", tol=1e-8, max_iter=5000).fit(
        rows.x.double().numpy(), rows.y.numpy(), sample_weight=400 * weight_N.numpy()
    )
    wanted = objective(torch.from_numpy(theirs.coef_[0]), float(theirs.intercept_[0]))
    assert objective(layer.weight[0].double(), float(layer.bias[0])) == pytest.approx(wanted, rel=2e-4)


def test_every_group_weighs_the_same() -> None:
    weight_N = refits.balancing(torch.tensor([0, 0, 0, 2]), 4)
    torch.testing.assert_close(weight_N, torch.tensor([1 / 6, 1 / 6, 1 / 6, 1 / 2], dtype=torch.float64))


def test_margins_are_against_the_best_other_class() -> None:
    logits_NC = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    for row, found in zip(logits_NC.tolist(), refits.margins(logits_NC).tolist(), strict=True):
        wanted = [own - max(row[:c] + row[c + 1 :]) for c, own in enumerate(row)]
        assert found == pytest.approx(wanted)


def test_a_refit_serves_a_group_that_the_rows_as_they_are_neglect() -> None:
    rng = torch.Generator().manual_seed(0)
    group = torch.cat([torch.zeros(900), torch.ones(50), torch.full((50,), 2.0), torch.full((900,), 3.0)]).long()
    y, a = group // 2, group % 2
    x = torch.randn(1900, 2, generator=rng) + torch.stack([3.0 * y - 1.5, 5.0 * a - 2.5], 1)
    rows = Labelled(x, y, group, 2, 4)
    right_N = refits.balanced_logits(rows, refits.folds(group)).argmax(1) == y
    assert min(float(right_N[group == g].double().mean()) for g in range(4)) > 0.85


def test_a_transfer_is_a_fold_of_its_own() -> None:
    rows = made(300)
    fold = Fold(torch.arange(200), torch.arange(200, 300))
    wanted = refits.balanced_logits(rows, [fold])[200:]
    first = Labelled(*(part[:200] for part in rows[:3]), 2, 4)
    assert torch.equal(refits.transferred_logits(first, rows.x[200:]), wanted)
