"""What tracking records is what the measures say of the features, and recording it changes nothing else."""

from __future__ import annotations

import json
import math
import multiprocessing
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import Generator, Tensor

import tiny
import tracked
from evenhand import encoders, features, runs
from evenhand.batch import Batch, Split, TensorInputs
from evenhand.collapse import Classifier, Moments, RowPass, class_table, group_table, measure
from evenhand.data import Data, Sealed
from evenhand.errors import BadInput
from evenhand.execute import execute, execute_untrained
from evenhand.methods import make
from evenhand.methods._base import Method, State
from evenhand.methods.erm import ERM
from evenhand.model import Model
from evenhand.plan import Plan
from evenhand.runs import Run
from evenhand.settings import Settings
from evenhand.tracking import Geometry, Tracker, _geometry, _tracker
from evenhand.train import fit
from tracked import DATA, TEST, TRAIN, VAL

LAST = {"select": "last"}
PARTS = {"train": TRAIN, "val": VAL, "test": TEST}


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in tracked.FEW.items():
        monkeypatch.setattr(_tracker, name, value)


def data(train: Split = TRAIN, val: Split = VAL, test: Split = TEST) -> Data:
    return replace(DATA, train=train, val=val, test=Sealed(test))


@torch.no_grad()
def features_of(model: Model, split: Split) -> Tensor:
    return model.eval().encoder(split.inputs.take(torch.arange(len(split))))


def moments_of(model: Model, split: Split) -> Moments:
    found = Moments(model.classifier.in_features, split.n_classes, split.n_attributes, full=True)
    found.update(features_of(model, split), split.y, split.group)
    return found


def assert_same(found: Any, wanted: Any, *, rel: float = 1e-5) -> None:
    """Equal but for rounding; null where NaN is wanted."""
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys()
        for key in wanted:
            assert_same(found[key], wanted[key], rel=rel)
    elif isinstance(wanted, list):
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            assert_same(one, other, rel=rel)
    elif found is None or not math.isfinite(found):
        assert not math.isfinite(wanted)
    else:
        assert found == pytest.approx(wanted, rel=rel, abs=1e-6)


def by_hand(model: Model, split: Split, *, rows_to: Split | None) -> dict[str, Any]:
    """Every figure of a part from all its features at once; rows compared with the class means of another part."""
    classifier, moments, rows = Classifier.of(model.classifier), moments_of(model, split), None
    if rows_to is not None:
        rows = RowPass(moments_of(model, rows_to), classifier)
        rows.update(features_of(model, split), split.y, split.group)
    return {
        "scalars": measure(moments, classifier, rows=rows, count_G=TRAIN.count_G),
        "classes": class_table(moments, classifier, rows=rows),
        "groups": group_table(moments, classifier, rows=rows),
    }


# --- what is recorded ---


@pytest.mark.parametrize("settings", [LAST, {"select": "worst_group"}])
def test_exact_figures_are_those_of_the_features_of_the_stored_model(tmp_path: Path, settings: dict[str, str]) -> None:
    run = execute(DATA, Plan("erm", settings=settings, oracle=True, track="collapse-exact"), tmp_path)
    model = features.load_model(run, DATA)
    found = run.collapse[run.metrics["selection"]["epoch"]]["parts"]
    assert list(found) == ["train", "val", "test"]
    for name, split in PARTS.items():
        assert_same(found[name], by_hand(model, split, rows_to=TRAIN))
    assert found["test"]["scalars"]["accuracy"] == pytest.approx(run.metrics["test"]["accuracy"])
    assert found["test"]["groups"]["accuracy"] == pytest.approx([g["accuracy"] for g in run.metrics["groups"]])


def test_every_epoch_of_every_stage_has_a_line(tmp_path: Path) -> None:
    for method in ("jtt", "clusterfix", "dfr"):
        run = execute(DATA, Plan(method, track="collapse"), tmp_path)
        assert [(r["stage"], r["epoch"]) for r in run.collapse] == [(r["stage"], r["epoch"]) for r in run.history]
        assert all("test" not in record["parts"] for record in run.collapse)
        for record, of in zip(run.collapse, run.history, strict=True):
            steps = of["train"] is not None
            assert ("train" in record["parts"]) == steps, "no steps, no features of training"
            assert ("nc1_distance" in record["parts"]["val"]["scalars"]) == steps


@dataclass(frozen=True)
class Watched(Method):
    """ERM that keeps what its encoder gave."""

    def batches(self, split: Split, state: State, size: int, rng: Generator) -> Iterator[Tensor]:
        return super().batches(split, state, size, rng)

    def loss(self, batch: Batch, model: Model, state: State) -> Tensor:
        features_BD = model.encoder(batch.x)
        seen.append((features_BD.detach().clone(), batch.y, batch.rows))
        logits: Tensor = model.classifier(features_BD)
        return torch.nn.functional.cross_entropy(logits, batch.y)


seen: list[tuple[Tensor, Tensor, Tensor]] = []


def tracked_fit(
    method: Method, split: Split = TRAIN, *, exact: bool = False, on: Callable[[Tracker], None] | None = None
) -> list[dict[str, Any]]:
    """What is recorded in each epoch of a training."""
    tracker, found = Tracker(exact=exact, of_points="val", seed=0), []

    def note(record: Any, model: Model) -> None:
        if on:
            on(tracker)
        found.append(tracker.figures())

    torch.manual_seed(0)
    fit(
        encoders.build("mlp", (5,), 2, widths=(8,)), method, split, VAL, Settings(epochs=2, batch_size=16, lr=0.05),
        tracker=tracker, on_epoch=note,
    )  # fmt: skip
    return found


def test_training_features_are_those_of_the_steps() -> None:
    seen.clear()
    found = tracked_fit(Watched())[-1]["train"]
    features_ND, y_N, rows_N = (torch.cat(column) for column in zip(*seen[len(seen) // 2 :], strict=True))
    moments = Moments(8, 2, 2, full=True)
    moments.update(features_ND, y_N, TRAIN.group[rows_N])
    wanted = measure(moments)
    rows = RowPass(moments)
    rows.update(features_ND, y_N, TRAIN.group[rows_N])
    wanted["nc1_distance"] = float(rows.distance())
    assert_same({name: found["scalars"][name] for name in wanted}, wanted)
    assert sorted(rows_N.tolist()) == list(range(len(TRAIN)))


def test_what_is_kept_of_steps_has_no_graph() -> None:
    held: list[Tensor] = []
    step = Tracker.step

    def watched(self: Tracker, rows_B: Tensor, features_BD: Tensor | None) -> None:
        assert features_BD is not None
        held.append(features_BD)
        step(self, rows_B, features_BD)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tracker, "step", watched)
        tracked_fit(ERM())
    assert held
    assert not any(features_BD.requires_grad or features_BD.grad_fn is not None for features_BD in held)


@pytest.mark.parametrize(("method", "options"), [("mixup", {}), ("remix", {}), ("gbmix", {"target": "random"})])
def test_mixtures_are_not_taken_for_rows(tmp_path: Path, method: str, options: dict[str, str]) -> None:
    running = execute(DATA, Plan(method, options, track="collapse"), tmp_path).collapse[0]["parts"]
    assert list(running) == ["val"]
    assert "nc1_distance" not in running["val"]["scalars"]
    exact = execute(DATA, Plan(method, options, track="collapse-exact"), tmp_path).collapse[0]["parts"]
    assert "nc1_distance" in exact["train"]["scalars"]
    assert "nc1_distance" in exact["val"]["scalars"]


def test_the_frozen_classifier_with_mixtures_records_none() -> None:
    assert "train" in tracked_fit(make("etf"))[0]
    assert "train" not in tracked_fit(make("etf", mixup="1.0"))[0]


def test_above_the_limit_only_distances_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tracked_fit(ERM(), exact=True)[-1]
    monkeypatch.setattr(_tracker, "MOST_KEPT", 300)
    few = tracked_fit(ERM(), exact=True)[-1]
    assert_same(few["val"], whole["val"], rel=0)
    left_out = whole["train"]["scalars"].keys() - few["train"]["scalars"].keys()
    assert {"nc1_distance", "nc4_mismatch"} <= left_out
    assert "nc1_papyan" not in left_out
    assert_same(few["train"]["scalars"], {key: whole["train"]["scalars"][key] for key in few["train"]["scalars"]})


class InOrderOfLength(TensorInputs):
    """Rows of different lengths, so that an evaluation takes them in another order."""

    @property
    def lengths(self) -> Tensor:  # type: ignore[override]
        return (self.x[:, 0] * 10).round().long().abs()


def test_rows_of_different_lengths_keep_their_labels(tmp_path: Path) -> None:
    parts = [replace(s, inputs=InOrderOfLength(s.inputs.take(torch.arange(len(s))))) for s in (TRAIN, VAL, TEST)]
    run = execute(data(*parts), Plan("erm", settings=LAST, oracle=True, track="collapse-exact"), tmp_path)
    model = features.load_model(run, DATA)
    for name, split in PARTS.items():
        assert_same(run.collapse[-1]["parts"][name], by_hand(model, split, rows_to=TRAIN))
    points = run.points()
    assert points is not None
    half = features_of(model, TEST)[points["rows_N"]].half().numpy()
    np.testing.assert_allclose(points["last_ND"], half, atol=1e-3)


def test_a_feature_that_is_not_finite_leaves_its_part_out() -> None:
    model = tiny.network()
    x = VAL.inputs.take(torch.arange(len(VAL))).clone()
    x[3, 0] = torch.nan
    tracker = Tracker(exact=True, of_points="val", seed=0)
    tracker.begin_stage(model, TRAIN, TRAIN)
    tracker.end_training()
    for name, split in (("val", replace(VAL, inputs=TensorInputs(x))), ("test", TEST)):
        _tracker.predict(model, split, tracker.watch(name, split))
    assert list(tracker.figures()) == ["train", "test"]


# --- groups ---


def test_without_attributes_groups_are_classes(tmp_path: Path) -> None:
    parts = [split.without_groups() for split in (TRAIN, VAL, TEST)]
    run = execute(data(*parts), Plan("erm", oracle=True, track="collapse"), tmp_path)
    assert run.geometry is not None
    for found in (run.collapse[-1]["parts"]["test"], run.geometry["parts"]["test"]):
        assert found["groups"]["count"] == found["classes"]["count"] == TEST.count_C.tolist()
        assert found["scalars"]["d_min"] is None
        assert found["scalars"]["d_maj"] == pytest.approx(found["scalars"]["d_cls"])
    kinds = {(each["kind"], each["attribute"]) for each in run.geometry["vectors"]}
    assert kinds == {("class_mean", None), ("weight", None)}


def hiding(split: Split, rows: Tensor) -> Split:
    """The split with the attributes of these rows not known."""
    attribute = split.attribute.clone()
    attribute[rows] = -1
    return replace(split, attributes=attribute[:, None])


def test_rows_of_unknown_groups_count_for_classes_only(tmp_path: Path) -> None:
    parts = [hiding(split, torch.arange(0, len(split), 3)) for split in (TRAIN, VAL, TEST)]
    run = execute(data(*parts), Plan("erm", settings=LAST, oracle=True, track="collapse-exact"), tmp_path)
    model = features.load_model(run, DATA)
    assert run.geometry is not None
    for name, split in (("train", parts[0]), ("val", parts[1]), ("test", parts[2])):
        everyone, known = split.without_groups(), split.known()
        moments = moments_of(model, everyone)
        rows = RowPass(moments_of(model, parts[0].without_groups()), Classifier.of(model.classifier))
        rows.update(features_of(model, everyone), everyone.y)
        found = run.collapse[-1]["parts"][name]
        assert_same(found["classes"], class_table(moments, Classifier.of(model.classifier), rows=rows))
        of_groups = measure(moments_of(model, known), count_G=parts[0].count_G)
        for key in ("d_maj", "d_min", "nc1_cdnv_groups", "nc1_group_variance", "nc2_equinorm_group_means"):
            assert found["scalars"][key] == pytest.approx(of_groups[key], rel=1e-5), key
        assert found["scalars"]["nc1_papyan"] == pytest.approx(measure(moments)["nc1_papyan"], rel=1e-5)
        assert found["scalars"]["nc1_distance"] == pytest.approx(float(rows.distance()), rel=1e-5)
        assert found["groups"]["count"] == known.count_G.tolist()
        if name != "train":
            assert run.geometry["parts"][name]["groups"]["count"] == known.count_G.tolist()
            assert run.geometry["parts"][name]["classes"]["count"] == split.count_C.tolist()


def test_no_group_known_is_no_obstacle(tmp_path: Path) -> None:
    parts = [hiding(split, torch.arange(len(split))) for split in (TRAIN, VAL, TEST)]
    run = execute(data(*parts), Plan("erm", settings={"select": "average"}, track="collapse"), tmp_path)
    found = run.collapse[-1]["parts"]["train"]
    assert found["groups"]["count"] == [0.0] * 4
    assert found["scalars"]["d_maj"] is None
    assert found["scalars"]["nc1_papyan"] > 0
    assert run.geometry is not None
    assert {each["kind"] for each in run.geometry["vectors"]} == {"class_mean", "weight"}


def test_groups_of_a_table_are_tracked_and_the_test_part_has_the_datas_own(tmp_path: Path) -> None:
    frames = [
        pl.DataFrame({"split": name, "row": range(len(split)), "group": [str(k % 3) for k in range(len(split))]})
        for name, split in (("train", TRAIN), ("val", VAL))
    ]
    pl.concat(frames).write_csv(tmp_path / "g.csv")
    plan = Plan("groupdro", groups_from=tmp_path / "g.csv", oracle=True, track="collapse")
    found = execute(DATA, plan, tmp_path / "runs").collapse[-1]["parts"]
    assert [len(found[name]["groups"]["count"]) for name in ("train", "val", "test")] == [6, 6, 4]
    assert found["test"]["groups"]["count"] == TEST.count_G.tolist()
    assert all(value > 0 for value in found["test"]["groups"]["distance"])


# --- nothing else changes ---


@pytest.mark.parametrize("method", ["erm", "groupdro", "jtt", "mixup", "dfr", "clusterfix"])
def test_tracking_changes_nothing_of_the_training(tmp_path: Path, method: str) -> None:
    found = {track: execute(DATA, Plan(method, track=track), tmp_path) for track in ("", "collapse", "collapse-exact")}
    plain = found.pop("")
    assert (plain.collapse, plain.points()) == ([], None)
    for run in found.values():
        assert run.folder != plain.folder
        for name in ("model.safetensors", "predictions.parquet", "geometry.json"):
            assert (run.folder / name).read_bytes() == (plain.folder / name).read_bytes(), name
        untimed = [
            [{k: v for k, v in record.items() if not k.startswith("seconds")} for record in each.history]
            for each in (run, plain)
        ]
        assert untimed[0] == untimed[1]


# --- points ---


def test_points_are_of_the_last_stage(tmp_path: Path) -> None:
    run = execute(DATA, Plan("jtt", settings=LAST, oracle=True, track="collapse"), tmp_path)
    points, model = run.points(), features.load_model(run, DATA)
    assert points is not None
    assert (str(points["part"]), len(points["rows_N"])) == ("test", 24)
    rows = torch.from_numpy(points["rows_N"])
    assert rows.tolist() == sorted(set(rows.tolist()))
    features_ND = features_of(model, TEST)[rows]
    np.testing.assert_allclose(points["last_ND"], features_ND.half().numpy(), atol=1e-3)
    assert points["last_ND"].dtype == points["first_ND"].dtype == np.float16
    assert not np.allclose(points["first_ND"], points["last_ND"], atol=1e-2)
    assert points["predicted_last_N"].tolist() == model.classifier(features_ND).argmax(1).tolist()
    assert points["y_N"].tolist() == TEST.y[rows].tolist()
    assert points["group_N"].tolist() == TEST.group[rows].tolist()


def test_the_last_epoch_of_a_shorter_run_is_the_first_of_a_longer_one(tmp_path: Path) -> None:
    whole = execute(DATA, Plan("erm", settings=LAST, track="collapse"), tmp_path).points()
    short = execute(DATA, Plan("erm", settings={**LAST, "epochs": 1}, track="collapse"), tmp_path).points()
    assert whole is not None
    assert short is not None
    assert str(short["part"]) == "val"
    np.testing.assert_array_equal(whole["first_ND"], short["last_ND"])
    np.testing.assert_array_equal(short["first_ND"], short["last_ND"])
    np.testing.assert_array_equal(whole["predicted_first_N"], short["predicted_last_N"])


def test_damaged_points_are_named(tmp_path: Path) -> None:
    (tmp_path / runs.POINTS).write_bytes(b"PK no archive")
    with pytest.raises(BadInput, match=r"points\.npz is damaged"):
        Run(tmp_path).points()


# --- geometry ---


def test_geometry_is_that_of_the_selected_model(tmp_path: Path) -> None:
    run = execute(DATA, Plan("erm"), tmp_path)
    model, found = features.load_model(run, DATA), run.geometry
    assert found is not None
    for name, split in (("val", VAL), ("test", TEST)):
        assert_same(found["parts"][name], by_hand(model, split, rows_to=None))
    moments, weight_CD = moments_of(model, TEST), model.classifier.weight.detach().double()
    centre_D = moments.classes().mean_KD.mean(0)
    mean_CD, mean_GD = moments.classes().mean_KD - centre_D, moments.groups().mean_KD - centre_D
    weight_CD = weight_CD * mean_CD.norm(dim=1).mean() / weight_CD.norm(dim=1).mean()
    wanted = {"group_mean": mean_GD, "class_mean": mean_CD, "weight": weight_CD}
    vectors = {kind: [v for v in found["vectors"] if v["kind"] == kind] for kind in wanted}
    assert [v["name"] for v in vectors["group_mean"]] == [TEST.group_name(g) for g in range(4)]
    assert [(v["class"], v["attribute"], v["count"]) for v in vectors["group_mean"]] == [
        (g // 2, g % 2, int(TEST.count_G[g])) for g in range(4)
    ]
    every = torch.cat(list(wanted.values()))
    xyz = torch.tensor([v["xyz"] for kind in wanted for v in vectors[kind]], dtype=torch.float64)
    # In three dimensions inner products are the nearest possible to those in all.
    value, axes = torch.linalg.eigh(every @ every.T)
    torch.testing.assert_close(xyz @ xyz.T, axes[:, -3:] * value[-3:] @ axes[:, -3:].T, atol=1e-4, rtol=1e-4)
    assert found["explained"] == pytest.approx(float(value[-3:].sum() / value.sum()), rel=1e-5)


def test_flattened_vectors_keep_their_lengths_where_three_dimensions_hold_them() -> None:
    plane = torch.tensor([[3.0, 4.0, 0, 0], [0, -1.0, 0, 0], [1.0, 0, 0, 0]], dtype=torch.float64)
    xyz, explained = _geometry.flattened(plane)
    assert explained == pytest.approx(1)
    torch.testing.assert_close(torch.cdist(xyz, xyz), torch.cdist(plane, plane), atol=1e-12, rtol=0)
    assert xyz[0, 0] == pytest.approx(math.hypot(3, 4), abs=0.1), "the longest reaches in the positive direction"
    assert xyz[:, 2].abs().max() < 1e-12
    one = _geometry.flattened(torch.tensor([[2.0], [-1.0]]))[0]
    torch.testing.assert_close(one, torch.tensor([[2.0, 0, 0], [-1.0, 0, 0]], dtype=torch.float64))
    assert _geometry.flattened(torch.zeros(2, 4))[1] is None


def test_of_many_groups_the_geometry_is_that_of_classes() -> None:
    split, model = tiny.split(300, attributes=(101,)), tiny.network()
    found = Geometry(model, split)
    for name in ("val", "test"):
        _tracker.predict(model, split, found.watch(name, split))
    record = found.record()
    assert len(json.dumps(record)) < 20_000
    assert record["parts"]["test"]["groups"]["count"] == split.count_C.tolist()
    assert {each["kind"] for each in record["vectors"]} == {"class_mean", "weight"}


def test_a_predictor_that_was_not_trained_has_none(tmp_path: Path) -> None:
    config = {"format": 1, "data": {"name": "d"}, "method": {"name": "zero"}, "settings": {"seed": 0}}
    run = execute_untrained(
        DATA, config, lambda split, file: torch.zeros(len(split), 2), tmp_path, device=torch.device("cpu")
    )
    assert (run.geometry, run.collapse, run.points()) == (None, [], None)


# --- resuming ---

FILES = ("collapse.jsonl", "points.npz", "geometry.json", "predictions.parquet", "model.safetensors")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Run]:
    made: dict[tuple[str, str], Run] = {}

    def get(method: str, track: str) -> Run:
        if (method, track) not in made:
            folder = tmp_path_factory.mktemp(method)
            made[method, track] = execute(DATA, Plan(method, oracle=True, track=track), folder)
        return made[method, track]

    return get


@pytest.mark.parametrize(
    ("method", "track", "kill"),
    [
        ("erm", "collapse", ("step", 5)),
        ("erm", "collapse", ("step", 12)),
        ("erm", "collapse", ("rows", 10)),
        ("erm", "collapse", ("rows", 13)),
        ("erm", "collapse-exact", ("step", 12)),
        ("erm", "collapse-exact", ("rows", 5)),
        ("jtt", "collapse", ("step", 20)),
        ("dfr", "collapse", ("rows", 13)),
    ],
)
def test_killed_and_continued_the_files_are_the_same(
    tmp_path: Path, uninterrupted: Callable[[str, str], Run], method: str, track: str, kill: tuple[str, int]
) -> None:
    process = multiprocessing.get_context("forkserver").Process(
        target=tracked.train, args=(tmp_path, method, track, kill, tracked.FEW)
    )
    process.start()
    process.join(timeout=120)
    assert process.exitcode == -signal.SIGKILL
    assert list(tmp_path.glob(f".{method}-*.partial/checkpoint.pt")), "there is something to continue"
    run, whole = execute(DATA, Plan(method, oracle=True, track=track), tmp_path), uninterrupted(method, track)
    for name in FILES:
        assert (run.folder / name).read_bytes() == (whole.folder / name).read_bytes(), name
    assert sorted(path.name for path in run.folder.iterdir()) == sorted(
        [*FILES, "config.json", "history.jsonl", "metrics.json", "test_by_epoch.jsonl"]
    )


def test_a_lost_log_begins_the_run_again(tmp_path: Path, uninterrupted: Callable[[str, str], Run]) -> None:
    class StopError(Exception):
        pass

    def stop(record: Any) -> None:
        if record["epoch"] == 1:
            raise StopError

    plan = Plan("erm", oracle=True, track="collapse")
    with pytest.raises(StopError):
        execute(DATA, plan, tmp_path, on_epoch=stop)
    (partial,) = tmp_path.glob(".*.partial")
    assert len(runs.read_lines(partial / runs.COLLAPSE)) == 2
    (partial / runs.COLLAPSE).unlink()
    run = execute(DATA, plan, tmp_path)
    assert (run.folder / runs.COLLAPSE).read_bytes() == (
        uninterrupted("erm", "collapse").folder / runs.COLLAPSE
    ).read_bytes()


def test_a_snapshot_of_an_untracked_training_is_refused(tmp_path: Path) -> None:
    def once(tracker: Tracker | None) -> None:
        fit(
            encoders.build("mlp", (5,), 2), ERM(), TRAIN, VAL, Settings(epochs=1, batch_size=16),
            checkpoint=tmp_path / "c.pt", checkpoint_every=0, tracker=tracker,
        )  # fmt: skip

    once(None)
    with pytest.raises(BadInput, match=r"c\.pt is of another training"):
        once(Tracker(exact=False, of_points="val", seed=0))


# --- the plan ---


def test_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="unknown kind of tracking 'colapse'; did you mean 'collapse'"):
        execute(DATA, Plan("erm", track="colapse"), tmp_path)
    assert not list(tmp_path.iterdir())
