"""Comparisons over seeds: test vectors, SciPy as oracle, consistency of intervals and p-values, error rates."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from evenhand.errors import BadInput
from evenhand.metrics import holm, mean_sd, paired_differences, winners

ERM = [0.57, 0.58, 0.55, 0.60, 0.56]
VALUES = {
    "erm": ERM,
    "subg": [0.78, 0.77, 0.79, 0.80, 0.78],
    "rwg": [0.58, 0.60, 0.54, 0.61, 0.57],
    "hsic": [0.56, 0.60, 0.50, 0.62, 0.58],
}
pytestmark = pytest.mark.filterwarnings("error")


def test_holm_vector():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])


def test_holm_of_one_test_is_unchanged_and_of_none_is_empty():
    np.testing.assert_array_equal(holm([0.2]), [0.2])
    assert holm([]).size == 0


def test_holm_does_not_count_tests_that_were_not_made():
    np.testing.assert_allclose(holm([math.nan, 0.01, 0.03]), [math.nan, 0.02, 0.03])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_agrees_with_the_step_down_procedure(p_values):
    adjusted = holm(p_values)
    for i, p in enumerate(p_values):
        at_most_p = [(len([r for r in p_values if r >= q])) * q for q in p_values if q <= p]
        assert adjusted[i] == pytest.approx(min(1, max(at_most_p)))


@pytest.mark.parametrize("p_values", [[-0.1], [1.1], [[0.5]]])
def test_holm_refuses_what_is_no_probability(p_values):
    with pytest.raises(BadInput, match=r"numbers in \[0, 1\]"):
        holm(p_values)


def test_mean_sd():
    assert mean_sd([1, 2, 4]) == pytest.approx((7 / 3, np.std([1, 2, 4], ddof=1)))
    assert mean_sd([0.1] * 3) == (0.1, 0)
    assert mean_sd([2, math.nan, 4]) == pytest.approx((3, math.sqrt(2)))
    np.testing.assert_equal(mean_sd([3]), (3, math.nan))
    np.testing.assert_equal(mean_sd([]), (math.nan, math.nan))


def test_one_comparison_is_the_paired_t_test():
    [difference] = paired_differences({"erm": ERM, "rwg": VALUES["rwg"]}, "erm", confidence=0.9)
    oracle = ttest_rel(VALUES["rwg"], ERM)
    assert difference.mean == pytest.approx(np.mean(VALUES["rwg"]) - np.mean(ERM))
    assert difference.p_value == difference.p_adjusted == pytest.approx(oracle.pvalue)
    assert (difference.low, difference.high) == pytest.approx(tuple(oracle.confidence_interval(0.9)))
    assert (difference.method, difference.n) == ("rwg", 5)


def test_several_comparisons_are_corrected_by_holm():
    differences = paired_differences(VALUES, "erm")
    assert [difference.method for difference in differences] == ["subg", "rwg", "hsic"]
    expected = [ttest_rel(VALUES[method], ERM).pvalue for method in ("subg", "rwg", "hsic")]
    np.testing.assert_allclose([difference.p_value for difference in differences], expected)
    np.testing.assert_allclose([difference.p_adjusted for difference in differences], holm(expected))


def test_levels_follow_the_steps_of_holm():
    subg, rwg, hsic = paired_differences(VALUES, "erm")
    assert subg.p_adjusted <= 0.05 < rwg.p_adjusted
    for difference, sharing in ((subg, 3), (rwg, 2), (hsic, 2)):
        oracle = ttest_rel(VALUES[difference.method], ERM).confidence_interval(1 - 0.05 / sharing)
        assert (difference.low, difference.high) == pytest.approx(tuple(oracle))


def test_bonferroni_intervals_all_share_alike():
    for difference in paired_differences(VALUES, "erm", intervals="bonferroni"):
        oracle = ttest_rel(VALUES[difference.method], ERM).confidence_interval(1 - 0.05 / 3)
        assert (difference.low, difference.high) == pytest.approx(tuple(oracle))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 6), st.integers(2, 6))
def test_interval_excludes_zero_exactly_where_holm_rejects(seed, n_methods, n_seeds):
    rng = np.random.default_rng(seed)
    shift = rng.choice([0, 0.5, 2, 5], n_methods)
    values = {str(m): list(rng.normal(shift[m], 0.5, n_seeds)) for m in range(n_methods)}
    for difference in paired_differences(values, "0"):
        excludes_zero = difference.low > 0 or difference.high < 0
        assert excludes_zero == (difference.p_adjusted <= 1 - 0.95)


def test_intervals_cover_together_as_often_as_they_say():
    rng = np.random.default_rng(0)
    truth = {"0": 0.0, "1": 0.0, "2": 0.3, "3": 2.0}

    def all_cover():
        values = {method: list(rng.normal(shift, 1, 5)) for method, shift in truth.items()}
        differences = paired_differences(values, "0", 0.9, intervals="bonferroni")
        return all(difference.low <= truth[difference.method] <= difference.high for difference in differences)

    assert np.mean([all_cover() for _ in range(500)]) > 0.9 - 0.03


def test_order_of_seeds_is_irrelevant():
    shuffled = {method: values[::-1] for method, values in VALUES.items()}
    for one, other in zip(paired_differences(VALUES, "erm"), paired_differences(shuffled, "erm"), strict=True):
        assert one[1:] == pytest.approx(other[1:])


def test_one_seed_has_a_difference_and_no_test():
    [difference] = paired_differences({"erm": [0.5], "subg": [0.75]}, "erm")
    np.testing.assert_equal(difference[1:], (0.25, math.nan, math.nan, math.nan, math.nan, 1))


def test_missing_seeds_are_left_out_in_pairs():
    values = {"erm": [0.5, 0.6, math.nan, 0.4], "subg": [0.7, math.nan, 0.7, 0.8], "rwg": [math.nan] * 4}
    subg, rwg = paired_differences(values, "erm")
    assert (subg.n, rwg.n) == (2, 0)
    assert subg.mean == pytest.approx(0.3)
    assert subg.p_adjusted == subg.p_value, "a method that could not be tested does not count"
    assert math.isnan(rwg.mean)


def test_no_variation_is_certain_either_way():
    values = {"erm": [0.5, 0.25, 0.75], "same": [0.5, 0.25, 0.75], "more": [0.75, 0.5, 1.0]}
    same, more = paired_differences(values, "erm")
    assert same[1:] == (0, 0, 0, 1, 1, 3)
    assert more[1:] == (0.25, 0.25, 0.25, 0, 0, 3)


def test_rounding_errors_are_no_difference():
    [difference] = paired_differences({"a": [0.1 + 0.2, 0.3, 0.7 + 0.1], "b": [0.3, 0.3, 0.8]}, "a")
    assert (difference.mean, difference.p_value) == (0, 1)


def test_reference_alone_has_no_differences():
    assert paired_differences({"erm": ERM}, "erm") == []


@pytest.mark.parametrize(
    ("values", "arguments", "message"),
    [
        (VALUES, {"reference": "jtt"}, "reference 'jtt' is not among the methods erm, subg, rwg, hsic"),
        ({"a": [1, 2], "b": [1]}, {"reference": "a"}, r"value for every seed .* a \[2\], b \[1\]"),
        (VALUES, {"reference": "erm", "confidence": 1.5}, "confidence must be between 0 and 1, got 1.5"),
        (VALUES, {"reference": "erm", "intervals": "tukey"}, "holm or bonferroni, got 'tukey'"),
    ],
)
def test_bad_comparisons_are_refused(values, arguments, message):
    with pytest.raises(BadInput, match=message):
        paired_differences(values, **arguments)


def test_winner_outside_the_noise_stands_alone():
    assert winners(VALUES) == {"subg"}


def test_lower_can_be_better():
    errors = {method: [1 - value for value in values] for method, values in VALUES.items()}
    assert winners(errors, higher_is_better=False) == {"subg"}


def test_methods_inside_the_noise_win_together():
    assert winners({method: values for method, values in VALUES.items() if method != "subg"}) == {"erm", "rwg", "hsic"}


def test_one_seed_has_no_single_winner():
    assert winners({"erm": [0.5], "subg": [0.9]}) == {"erm", "subg"}


def test_nothing_is_won_without_a_second_method():
    assert winners({"erm": ERM}) == winners({}) == set()
    assert winners({"erm": ERM, "failed": [math.nan] * 5}) == set()


def test_equal_methods_rarely_have_a_single_winner():
    rng = np.random.default_rng(1)
    for n_methods in (2, 4):
        single = [len(winners({str(m): list(rng.normal(0, 1, 3)) for m in range(n_methods)})) == 1 for _ in range(400)]
        assert np.mean(single) < 0.05 + 0.03
