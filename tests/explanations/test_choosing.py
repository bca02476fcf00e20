"""Which rows are shown, and energies of maps that are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from evenhand.errors import BadInput
from evenhand.explanations import choosing, energy
from evenhand.explanations.choosing import Example, Judged, choose


def judged(loss: list[float], prediction: list[int], y: list[int], group: list[int]) -> Judged:
    return Judged(np.array(y), np.array(group), np.array(prediction), np.array(loss))


OWN = judged([0.1, 2.0, 3.0, 0.2, 5.0, 0.4], [0, 1, 1, 1, 0, 1], [0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 1])
OTHER = judged([0.9, 0.3, 4.0, 0.1, 0.2, 2.0], [1, 0, 1, 1, 1, 0], [0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 1])


def rows(found: list[Example]) -> list[tuple[int, int, str]]:
    return [(each.group, each.row, each.reason) for each in found]


def test_the_worst_are_errors_by_their_loss() -> None:
    assert rows(choose(OWN, None, ["worst"], 5, 2)) == [(0, 2, "worst"), (0, 1, "worst"), (1, 4, "worst")]


def test_the_typical_are_nearest_to_the_mean_loss_of_their_group() -> None:
    assert rows(choose(OWN, None, ["typical"], 1, 2)) == [(0, 1, "typical"), (1, 5, "typical")]


def test_disagreements_are_what_one_run_has_right_by_the_difference_of_losses() -> None:
    found = rows(choose(OWN, OTHER, ["disagreement"], 5, 2))
    assert found == [
        (0, 1, "disagreement"), (0, 0, "disagreement"), (1, 4, "disagreement"), (1, 5, "disagreement"),
    ]  # fmt: skip


def test_a_row_is_chosen_once() -> None:
    found = choose(OWN, OTHER, ["worst", "typical", "disagreement"], 3, 2)
    assert len({each.row for each in found}) == len(found) == 6


def test_rows_of_unknown_groups_are_left_out_unless_they_are_named() -> None:
    unknown = judged([1.0, 2.0], [1, 1], [0, 0], [-1, 0])
    assert rows(choose(unknown, None, ["worst"], 2, 1)) == [(0, 1, "worst")]
    assert rows(choosing.named([0], unknown)) == [(-1, 0, "named")]


def test_named_rows_must_be_there() -> None:
    assert rows(choosing.named([4, 1, 4], OWN)) == [(0, 1, "named"), (1, 4, "named")]
    with pytest.raises(BadInput, match="there is no row 6: rows are numbered from 0 to 5"):
        choosing.named([6], OWN)


def test_what_cannot_be_chosen_is_refused() -> None:
    with pytest.raises(BadInput, match="unknown choice of examples 'best'"):
        choose(OWN, None, ["best"], 1, 2)
    with pytest.raises(BadInput, match="disagreement is between two runs"):
        choose(OWN, None, ["disagreement"], 1, 2)
    with pytest.raises(BadInput, match="at least 1, got 0"):
        choose(OWN, None, ["worst"], 0, 2)


def test_a_sample_has_up_to_so_many_rows_of_each_group() -> None:
    drawn = choosing.sample(OWN, 2, 2)
    assert np.bincount(OWN.group_N[drawn]).tolist() == [2, 2]
    assert drawn.tolist() == sorted(set(drawn.tolist()))
    assert choosing.sample(OWN, 9, 2).tolist() == list(range(6))
    assert np.array_equal(drawn, choosing.sample(OWN, 2, 2))


# --- energy ---


def test_the_energy_of_a_known_map() -> None:
    maps = np.array([[[1.0, 0.5], [0.5, 0.0]], [[0.0, 0.0], [0.0, 0.0]], [[0.0, 1.0], [0.0, 0.0]]])
    masks = np.array([[[True, False], [False, False]]] * 3)
    assert energy.inside(maps, masks).tolist() == pytest.approx([0.5, np.nan, 0.0], nan_ok=True)
    assert energy.area(masks).tolist() == [0.25] * 3


@given(hnp.arrays(np.bool_, (4, 3, 5)), st.floats(0.01, 10))
def test_a_map_that_is_the_same_everywhere_has_the_energy_of_chance(masks: np.ndarray, value: float) -> None:
    np.testing.assert_allclose(energy.inside(np.full((4, 3, 5), value), masks), energy.area(masks))


@given(hnp.arrays(np.float64, (3, 4, 4), elements=st.floats(0, 1)), hnp.arrays(np.bool_, (3, 4, 4)))
def test_energies_inside_and_outside_add_up_to_one(maps: np.ndarray, masks: np.ndarray) -> None:
    both = energy.inside(maps, masks) + energy.inside(maps, ~masks)
    np.testing.assert_allclose(both[maps.sum((1, 2)) > 0], 1)


def test_maps_must_fit() -> None:
    with pytest.raises(BadInput, match="one shape"):
        energy.inside(np.ones((1, 2, 2)), np.ones((1, 3, 3), dtype=bool))
    with pytest.raises(BadInput, match="must not be negative"):
        energy.inside(-np.ones((1, 2, 2)), np.ones((1, 2, 2), dtype=bool))


def test_means_and_paired_differences_of_groups() -> None:
    rng = np.random.default_rng(0)
    group = np.repeat([0, 1, 2], [40, 40, 0])
    second = rng.uniform(0.2, 0.4, 80)
    first = second + np.where(group == 0, 0.1, 0.0) + rng.normal(0, 0.01, 80)
    first[3] = np.nan
    found = energy.summary({"a": {"hires": first}, "b": {"hires": second}}, np.full(80, 0.15), group, ("x", "y", "z"))
    means = {(each["run"], each["group"]): each for each in found["means"]}
    assert set(means) == {(run, name) for run in "ab" for name in ("x", "y", energy.OVERALL)}
    own = means["a", "x"]
    assert (own["rows"], own["empty"], own["chance"]) == (39, 1, pytest.approx(0.15))
    assert own["value"] == pytest.approx(np.nanmean(first[:40]))
    assert own["low"] < own["value"] < own["high"]
    overall = means["a", energy.OVERALL]
    assert overall["value"] == pytest.approx((np.nanmean(first[:40]) + first[40:].mean()) / 2)
    apart = {each["group"]: each for each in found["differences"]}
    assert apart["x"]["value"] == pytest.approx(np.nanmean(first[:40] - second[:40]))
    assert apart["x"]["low"] > 0.09
    assert apart["y"]["low"] < 0 < apart["y"]["high"] or abs(apart["y"]["value"]) < 0.01
    # Pairing by row makes the interval far narrower than that of either mean.
    assert apart["x"]["high"] - apart["x"]["low"] < (own["high"] - own["low"]) / 3


def test_the_same_values_have_no_interval() -> None:
    found = energy.summary({"a": {"hires": np.full(4, 0.5)}}, np.full(4, 0.1), np.zeros(4, int), ("x",))
    assert [(each["value"], each["low"], each["high"]) for each in found["means"]] == [(0.5, None, None)] * 2
    assert found["differences"] == []
