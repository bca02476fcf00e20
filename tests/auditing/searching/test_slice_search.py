"""Slice search: planted slices are found and nothing else, and chance alone is not reported."""

from itertools import combinations, product

import numpy as np
import pytest

from evenhand.auditing.searching import proposals
from evenhand.auditing.searching.proposals import Half, Proposals
from evenhand.auditing.searching.search import search
from evenhand.auditing.searching.slicing import SliceColumn
from evenhand.errors import BadInput

CARDINALITIES = (2, 3, 4, 5, 8, 12)


def table(n, seed, cardinalities=CARDINALITIES):
    rng = np.random.default_rng(seed)
    code = [rng.integers(0, K, n) for K in cardinalities]
    columns = [SliceColumn(f"c{i}", [f"v{k}" for k in range(K)], code[i]) for i, K in enumerate(cardinalities)]
    return rng, columns, code


def conditions(found):
    return {slice_.conditions for slice_ in found.slices}


PLANTED = [
    ({1: 2}, 0.25),
    ({2: 0, 3: 1}, 0.3),
    ({0: 1, 2: 3, 3: 0}, 0.4),
]


@pytest.mark.parametrize(("planted", "error"), PLANTED)
def test_one_planted_slice_is_found_and_nothing_else(planted, error):
    rng, columns, code = table(20_000, 0)
    inside = np.logical_and.reduce([code[column] == value for column, value in planted.items()])
    found = search(columns, rng.random(20_000) < np.where(inside, error, 0.1))
    assert conditions(found) == {tuple((f"c{column}", f"v{value}") for column, value in planted.items())}
    (worst,) = found.slices
    assert worst.size == inside.sum()
    assert worst.size * 0.4 < worst.tested < worst.size * 0.6
    assert worst.low < error < worst.high
    assert worst.rest == pytest.approx(0.1, abs=0.01)
    assert worst.p_value <= worst.q_value < 1e-6


def test_causes_are_told_apart():
    rng, columns, code = table(40_000, 1)
    worse = 0.2 * (code[1] == 1) + 0.3 * ((code[1] == 1) & (code[3] == 2)) + 0.2 * (code[5] == 7)
    found = conditions(search(columns, rng.random(40_000) < 0.1 + worse))
    assert {(("c1", "v1"),), (("c1", "v1"), ("c3", "v2")), (("c5", "v7"),)} <= found
    assert len(found) <= 5


def test_surely_worst_comes_first():
    rng, columns, code = table(40_000, 2)
    found = search(columns, rng.random(40_000) < 0.1 + 0.1 * (code[1] == 1) + 0.4 * (code[4] == 3))
    assert [slice_.low for slice_ in found.slices] == sorted((slice_.low for slice_ in found.slices), reverse=True)
    assert ("c4", "v3") in found.slices[0].conditions


def test_chance_alone_is_hardly_ever_reported():
    discoveries = 0
    for seed in range(200):
        rng, columns, _ = table(3000, seed, (2, 3, 4, 6, 8))
        discoveries += bool(search(columns, rng.random(3000) < 0.2, min_size=60).slices)
    assert discoveries <= 18  # 10 are allowed on average; more than 18 in one of 150 such tests


def test_false_discoveries_beside_true_ones_are_controlled():
    shares = []
    for seed in range(100):
        rng, columns, code = table(8000, seed, (2, 3, 4, 6, 8))
        inside = (code[1] == 1) & (code[2] == 2)
        found = conditions(search(columns, rng.random(8000) < np.where(inside, 0.35, 0.15)))
        assert (("c1", "v1"), ("c2", "v2")) in found
        shares.append((len(found) - 1) / len(found))
    assert np.mean(shares) <= 0.07


def test_any_loss_will_do():
    rng, columns, code = table(20_000, 3)
    loss = rng.lognormal(0, 1, 20_000) + 1.0 * ((code[2] == 0) & (code[0] == 1))
    found = search(columns, loss)
    assert conditions(found) == {(("c0", "v1"), ("c2", "v0"))}
    assert found.slices[0].low < np.exp(0.5) + 1 < found.slices[0].high
    assert not search(columns, rng.lognormal(0, 1, 20_000)).slices


def test_copies_of_a_column_are_reported_once():
    rng, columns, code = table(10_000, 4)
    copy = SliceColumn("copy", columns[1].labels, columns[1].code_N)
    found = search([*columns, copy], rng.random(10_000) < np.where(code[1] == 0, 0.4, 0.1))
    assert conditions(found) == {(("c1", "v0"),)}


def test_missing_values_are_in_no_slice():
    rng, columns, code = table(10_000, 5)
    missing = SliceColumn("c1", ["v0", "v1", "v2"], np.where(code[1] == 0, -1, code[1]))
    found = search([columns[0], missing], rng.random(10_000) < np.where(code[1] == 0, 0.4, 0.1), max_columns=2)
    assert not found.slices
    assert found.examined == 2 + 2 + 2 * 2


def test_proposals_are_those_of_a_loop():
    rng, columns, code = table(900, 6, (2, 3, 9))
    loss = rng.random(900)
    ours = Proposals(Half(code, loss), [2, 3, 9], 25)
    ours.collect(3)
    expected, examined = {}, 0
    for k in (1, 2, 3):
        for chosen in combinations(range(3), k):
            for values in product(*(range(len(columns[column].labels)) for column in chosen)):
                mask = np.logical_and.reduce([code[c] == v for c, v in zip(chosen, values, strict=True)])
                if mask.sum() < 25:
                    continue
                examined += 1
                rows = mask.sum() * (900 - mask.sum()) / 900
                z = (loss[mask].mean() - loss[~mask].mean()) / loss.std(ddof=1) * np.sqrt(rows)
                if z >= proposals.PROPOSED:
                    expected[tuple(zip(chosen, values, strict=True))] = z
    assert {proposal.conditions: proposal.z for proposal in ours.worst()} == pytest.approx(expected)
    assert (ours.examined, ours.crossings, ours.exhaustive) == (examined, 7, True)


def test_sparse_crossings_are_counted_as_dense_ones():
    rng, columns, code = table(30_000, 7, (300, 400))
    inside = (code[0] < 2) & (code[1] < 2)
    code = [np.where(inside, column % 2, column) for column in code]
    extra = [np.concatenate([column, rng.integers(0, 2, 3000)]) for column in code]
    columns = [SliceColumn(c.name, c.labels, x) for c, x in zip(columns, extra, strict=True)]
    inside = (extra[0] == 1) & (extra[1] == 0)
    found = search(columns, rng.random(33_000) < np.where(inside, 0.6, 0.1))
    assert (("c0", "v1"), ("c1", "v0")) in conditions(found)


def test_above_the_limit_the_worst_are_extended(monkeypatch):
    monkeypatch.setattr(proposals, "MAX_CROSSINGS", 12)
    rng, columns, code = table(20_000, 8, (3,) * 10)
    inside = (code[4] == 1) & (code[7] == 2) & (code[9] == 0)
    found = search(columns, rng.random(20_000) < np.where(inside, 0.7, 0.1))
    assert not found.exhaustive
    assert found.crossings == 10 + 12 + 12
    assert conditions(found) == {(("c4", "v1"), ("c7", "v2"), ("c9", "v0"))}


def test_equal_seeds_give_equal_halves():
    rng, columns, code = table(5000, 9)
    loss = rng.random(5000) < np.where(code[1] == 0, 0.3, 0.1)
    assert search(columns, loss, seed=1) == search(columns, loss, seed=1)
    assert search(columns, loss, seed=1) != search(columns, loss, seed=2)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("loss", [np.zeros(500), np.ones(500), np.full(500, 0.3)])
def test_equal_losses_have_no_worst_slice(loss):
    assert not search(table(500, 10)[1], loss, min_size=10).slices


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_few_rows_have_no_slices(n):
    rng, columns, _ = table(n, 11)
    assert not search(columns, rng.random(n) < 0.5).slices
    assert not search([], rng.random(n) < 0.5).slices


def test_bad_arguments_are_refused():
    _, columns, _ = table(10, 12, (2, 3))
    loss = np.zeros(10)
    for arguments, options, message in [
        ((columns, np.full(10, np.nan)), {}, "loss must be finite, got nan in row 0"),
        ((columns, ["a"] * 10), {}, "loss must be one number a row, got <U1"),
        ((columns, loss[:9]), {}, "column 'c0' must have one code for each of 9 rows, got 10"),
        (([columns[0], columns[0]], loss), {}, "different names, got c0, c0"),
        ((columns, loss), {"max_columns": 4}, "max_columns must be 1, 2 or 3, got 4"),
        ((columns, loss), {"min_size": 1}, r"min_size must be at least 2 and level in \(0, 1\), got 1"),
    ]:
        with pytest.raises(BadInput, match=message):
            search(*arguments, **options)
