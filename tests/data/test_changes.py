"""Changes to training rows that every data set takes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from evenhand import data
from evenhand.batch import Split
from evenhand.data._changes import imbalanced, paired, partly_known, without_minority
from evenhand.errors import BadInput


def split(counts: list[list[int]]) -> Split:
    """A split with so many rows of each class (outer) and attribute value."""
    pairs = [(c, a) for c, row in enumerate(counts) for a, n in enumerate(row) for _ in range(n)]
    y, a = torch.tensor(pairs).T
    x = torch.arange(len(pairs)).float()[:, None]
    return Split.of(x, y, a, n_classes=len(counts), attribute_sizes=[len(counts[0])])


def test_celeba_at_one_to_eight_has_the_published_minorities() -> None:
    """Hong et al. (2024), Table 8: dark-haired women 4054, blond men 1387, at about an eighth of the others."""
    celeba = split([[71629, 66874], [22880, 1387]])
    count = imbalanced(celeba, 8, 0).count_G.tolist()
    assert count == [4054, 32432, 11096, 1387]


@pytest.mark.parametrize("ratio", [1.0, 2.0, 4.0])
def test_every_class_has_the_ratio(ratio: float) -> None:
    part = imbalanced(split([[300, 500, 400], [500, 350, 600], [450, 500, 380]]), ratio, 0)
    count_CA = part.count_G.view(3, 3)
    pair_C = paired(torch.tensor([[300, 500, 400], [500, 350, 600], [450, 500, 380]]))
    assert sorted(pair_C.tolist()) == [0, 1, 2]
    for c in range(3):
        others = [int(count_CA[c, a]) for a in range(3) if a != pair_C[c]]
        assert max(others) - min(others) <= 1
        assert int(count_CA[c, pair_C[c]]) / others[0] == pytest.approx(ratio, rel=0.02)


@given(
    st.lists(st.lists(st.integers(1, 60), min_size=2, max_size=3), min_size=2, max_size=4).filter(
        lambda rows: len({len(row) for row in rows}) == 1
    ),
    st.floats(1, 10),
)
def test_rows_are_some_of_those_there_were(counts: list[list[int]], ratio: float) -> None:
    whole = split(counts)
    part = imbalanced(whole, ratio, 3)
    rows = part.batch(torch.arange(len(part))).x[:, 0].long()
    assert len(set(rows.tolist())) == len(rows)
    assert torch.equal(part.group, whole.group[rows])
    assert bool((part.count_G <= whole.count_G).all())
    assert bool((part.count_G >= 1).all())


def test_the_same_seed_leaves_out_the_same_rows() -> None:
    whole = split([[50, 50], [50, 50]])
    one, same, other = (imbalanced(whole, 4, seed).batch(torch.arange(60)).x for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_without_minority_groups_there_is_one_attribute_value_in_each_class() -> None:
    whole = split([[50, 8], [3, 40], [10, 9]])
    part = without_minority(whole)
    assert (part.count_G.view(3, 2) > 0).sum(1).tolist() == [1, 1, 1]
    assert part.count_G.view(3, 2)[:2].tolist() == [[50, 0], [0, 40]]
    changed = data.load("digits", drop_minority=True)
    assert (changed.train.count_G > 0).tolist() == [True, False, False, True]
    assert bool((changed.val.count_G > 0).all())


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_a_share_of_each_group_stays_known(share: float) -> None:
    whole = split([[50, 8], [3, 40]])
    part = partly_known(whole, share, 0)
    assert part.count_G.tolist() == [max(round(share * n), int(share > 0)) for n in (50, 8, 3, 40)]
    assert torch.equal(part.group[part.group >= 0], whole.group[part.group >= 0])
    assert torch.equal(partly_known(whole, share, 0).group, part.group)
    assert torch.equal(partly_known(part, 1.0, 0).group, part.group)


def test_labels_of_validation_can_be_few() -> None:
    few = data.load("digits", known_val=0.1)
    assert few.train.n_unknown == 0
    assert few.val.n_unknown == pytest.approx(0.9 * len(few.val), rel=0.02)
    assert int(few.test.count_G.sum()) == len(few.test)
    with pytest.raises(BadInput, match="known_val must lie in"):
        data.load("digits", known_val=1.5)


def test_any_data_set_takes_it_and_tells() -> None:
    plain, changed = data.load("digits", correlation=0.5), data.load("digits", correlation=0.5, imbalance_ratio="4")
    assert changed.options == {"correlation": 0.5, "imbalance_ratio": 4.0}
    assert changed.fingerprint != plain.fingerprint
    assert torch.equal(changed.test.count_G, plain.test.count_G)
    assert torch.equal(changed.val.count_G, plain.val.count_G)
    count_CA = changed.train.count_G.view(2, 2).double()
    assert sorted((count_CA.amax(1) / count_CA.amin(1)).tolist()) == pytest.approx([4, 4], rel=0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"imbalance_ratio": 0.5}, "imbalance_ratio must be at least 1"),
        ({"imbalance_ratio": "much"}, "imbalance_ratio of data sets takes a finite number"),
        ({"change_seed": -1}, "change_seed must not be negative"),
        ({"imbalance_rati": 2}, "unknown option of the data set digits .*did you mean 'imbalance_ratio'"),
        ({"flipp": 0.1}, "did you mean 'flip'"),
    ],
)
def test_bad_input(options: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        data.load("digits", **options)


def test_a_group_without_rows_cannot_be_balanced_against() -> None:
    with pytest.raises(BadInput, match="there are none of y=1, a0=0"):
        imbalanced(split([[5, 5], [0, 5]]), 2, 0)
