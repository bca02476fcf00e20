"""Intervals: closed forms, limits, and that they hold as often as they promise."""

import numpy as np
import pytest

from evenhand.auditing.figures import reduce
from evenhand.auditing.figures.counted import Table, class_figures, from_counts
from evenhand.auditing.figures.estimates import Mean, Proportion, Stack, Take, Transformed, complement, f1_of_jaccard
from evenhand.metrics import clopper_pearson, wilson, worst_group

PART, WHOLE = np.array([0, 3, 45, 50, 0]), np.array([10, 12, 50, 50, 0])


@pytest.mark.parametrize(("method", "closed"), [("wilson", wilson), ("clopper_pearson", clopper_pearson)])
def test_as_many_effective_rows_as_rows_change_nothing(method, closed):
    plain, effective = Proportion(PART, WHOLE, method), Proportion(PART, WHOLE, method, WHOLE.astype(float))
    for confidence in (0.5, 0.95, 0.999):
        np.testing.assert_allclose(plain.interval(confidence), closed(PART, WHOLE, confidence))
        np.testing.assert_allclose(effective.interval(confidence), closed(PART, WHOLE, confidence), atol=1e-12)


def test_fewer_effective_rows_are_wider():
    low, high = Proportion(PART, WHOLE).interval(0.95)
    wider_low, wider_high = Proportion(PART, WHOLE, "wilson", WHOLE / 4).interval(0.95)
    assert (wider_low <= low + 1e-12).all()
    assert (wider_high >= high - 1e-12).all()


def test_error_mirrors_accuracy():
    accuracy = Proportion(PART, WHOLE)
    error = Transformed(accuracy, complement)
    low, high = accuracy.interval(0.9)
    np.testing.assert_allclose(error.interval(0.9), (1 - high, 1 - low))


def test_the_mean_of_one_is_itself_and_dependence_costs_width():
    one = Proportion(PART[None], WHOLE[None])
    for independent in (True, False):
        np.testing.assert_allclose(Mean(one, independent).interval(0.95), Proportion(PART, WHOLE).interval(0.95))
    two = Stack((Proportion(PART[:4], WHOLE[:4]), Proportion(PART[:4], WHOLE[:4])))
    (low, high), (low_any, high_any) = (Mean(two, independent).interval(0.95) for independent in (True, False))
    assert (low_any < low).sum() == 3  # not where the bound is the value itself
    assert (high_any > high).sum() == 3
    np.testing.assert_allclose(Take(two, 1).value, PART[:4] / WHOLE[:4])


def test_the_worst_proportion_is_the_worst_group():
    for confidence in (0.8, 0.95):
        expected = worst_group(PART, WHOLE, confidence)
        measured, group = reduce.extreme(Proportion(PART, WHOLE), True, confidence)
        assert (measured, measured.low, measured.high, group) == pytest.approx(tuple(expected))
    mirrored = reduce.extreme(Transformed(Proportion(PART, WHOLE), complement), False, 0.95).measured
    worst = worst_group(PART, WHOLE)
    assert (mirrored.low, mirrored.high) == pytest.approx((1 - worst.high, 1 - worst.low))


def test_nothing_to_compare_is_undefined():
    alone = Proportion(PART[1:2], WHOLE[1:2])
    for measured in (reduce.gap(alone, 0.95), reduce.ratio_of_extremes(alone, 0.95)):
        assert np.isnan(measured)
        assert np.isnan(measured.low)
    nobody = Proportion(PART[4:], WHOLE[4:])
    assert reduce.extreme(nobody, True, 0.95).group is None
    assert np.isnan(reduce.mean(nobody, 0.95))
    assert np.isnan(reduce.ratio_of_extremes(Proportion(np.array([0, 0]), np.array([5, 5])), 0.95))


def test_the_gap_of_many_classes_is_that_of_the_widest():
    counts = np.random.default_rng(0).integers(1, 30, (3, 4, 4))
    rates = class_figures(Table(counts))["true_positive_rate"]
    gaps = [float(reduce.gap_of_class(rates, 0.95, c)) for c in range(4)]
    assert reduce.gap_of_class(rates, 0.95, None) == max(gaps)


def covered(measure, truth, draws=400):
    rng = np.random.default_rng(1)
    inside = [low <= truth <= high for low, high in (measure(rng) for _ in range(draws))]
    return np.mean(inside)


CELLS = np.array([[0.25, 0.05, 0.02], [0.06, 0.2, 0.04], [0.08, 0.05, 0.25]])  # label × prediction


@pytest.mark.parametrize("name", ["accuracy", "true_positive_rate", "precision", "f1", "false_positive_rate"])
@pytest.mark.parametrize("positive", [1, None])
def test_intervals_cover_as_often_as_they_promise(name, positive):
    truth = from_counts(Table(np.round(CELLS[None] * 1e9).astype(np.int64)), positive)[name].value[0]

    def measure(rng):
        counts = rng.multinomial(300, CELLS.ravel()).reshape(1, 3, 3)
        low, high = from_counts(Table(counts), positive)[name].interval(0.9)
        return low[0], high[0]

    assert covered(measure, truth) >= 0.87


def test_f1_is_a_function_of_the_jaccard_index():
    hit, false_alarm, miss = 7, 2, 4
    assert f1_of_jaccard(np.array(hit / (hit + false_alarm + miss))) == pytest.approx(2 * hit / (2 * hit + 6))
