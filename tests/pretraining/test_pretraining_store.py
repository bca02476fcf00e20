"""Pretrained encoders beside the runs: made once, of the training images alone, and where every run begins."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from unlabelled import pictures

from evenhand import study
from evenhand.data._base import Data, Sealed
from evenhand.errors import BadInput
from evenhand.execute import execute
from evenhand.plan import Plan, new_model, resolve
from evenhand.pretraining._store import Pretraining
from evenhand.randomness import seed_everything

SETTINGS = {
    "encoder": "small_cnn",
    "widths": (4, 8),
    "epochs": 1,
    "batch_size": 16,
    "pretrain": "barlowtwins",
    "pretrain_epochs": 3,
    "pretrain_options": ("batch_size=8", "dimension=8"),
    "device": "cpu",
}
PLAN = Plan("erm", settings=SETTINGS)


@pytest.fixture
def data() -> Data:
    return Data("tiny", pictures(32), pictures(16, seed=1), Sealed(pictures(16, seed=2)), "abc123", {})


def changed(**settings: Any) -> Plan:
    return replace(PLAN, settings=SETTINGS | settings)


def progress(data: Data, plan: Plan, out: Path) -> list[Pretraining]:
    """What is told of pretraining while the run is made."""
    told: list[Pretraining] = []
    execute(data, plan, out, on_pretraining=told.append)
    return told


def pretrained(out: Path) -> dict[str, bytes]:
    """What is kept, without anything hidden."""
    return {path.name: path.read_bytes() for path in (out / "pretrained").iterdir()}


def test_an_encoder_is_made_once_for_all_methods(data: Data, tmp_path: Path) -> None:
    told = progress(data, PLAN, tmp_path)
    assert [(p.epoch, p.epochs, p.found) for p in told] == [(1, 3, False), (2, 3, False), (3, 3, False)]
    kept = pretrained(tmp_path)
    assert list(kept) == [told[-1].file.name]
    assert told[-1].file.name.startswith("barlowtwins-")
    for plan in (replace(PLAN, method="rwg"), changed(lr=0.1), changed(epochs=2)):
        (only,) = progress(data, plan, tmp_path)
        assert (only.epoch, only.found, only.file, only.losses) == (3, True, told[-1].file, told[-1].losses)
    assert pretrained(tmp_path) == kept


def test_what_determines_the_encoder_makes_it_another(data: Data, tmp_path: Path) -> None:
    plans = [
        PLAN, changed(seed=1), changed(pretrain_epochs=2), changed(widths=(4, 6)), changed(pretrain="moco"),
        changed(pretrain_options=("batch_size=16", "dimension=8")),
    ]  # fmt: skip
    for plan in plans:
        assert not progress(data, plan, tmp_path)[-1].found
    assert not progress(replace(data, fingerprint="def"), PLAN, tmp_path / "other")[-1].found
    assert len(pretrained(tmp_path)) == len(plans)
    assert set(pretrained(tmp_path / "other")).isdisjoint(pretrained(tmp_path))


def test_a_run_begins_with_the_pretrained_encoder_and_is_another_than_without(data: Data, tmp_path: Path) -> None:
    still = changed(lr=1e-30)
    run = execute(data, still, tmp_path)
    (kept,) = (tmp_path / "pretrained").iterdir()
    wanted = safetensors.torch.load_file(kept)
    found = safetensors.torch.load_file(run.folder / "model.safetensors")
    learned = [name for name in wanted if "running" not in name and "num_batches" not in name]
    assert all(torch.equal(found[f"encoder.{name}"], wanted[name]) for name in learned)
    settings = resolve(still, data)[1]
    seed_everything(settings.seed)
    fresh = new_model(settings, data).state_dict()
    assert not all(torch.equal(fresh[f"encoder.{name}"], wanted[name]) for name in learned)
    assert all(torch.equal(fresh[name], found[name]) for name in ("classifier.weight", "classifier.bias"))
    plain = execute(data, changed(lr=1e-30, pretrain="none"), tmp_path)
    assert plain.folder != run.folder
    assert run.config["settings"]["pretrain"] == "barlowtwins"


def test_the_file_can_be_named_as_weights(data: Data, tmp_path: Path) -> None:
    execute(data, PLAN, tmp_path)
    (kept,) = (tmp_path / "pretrained").iterdir()
    settings = resolve(changed(pretrain="none", weights=str(kept)), data)[1]
    wanted = safetensors.torch.load_file(kept)
    assert all(
        torch.equal(tensor, wanted[name]) for name, tensor in new_model(settings, data).encoder.state_dict().items()
    )


def test_labels_groups_and_other_rows_are_not_looked_at(data: Data, tmp_path: Path) -> None:
    progress(data, PLAN, tmp_path / "one")
    poisoned = pictures(32)
    poisoned.y.copy_(poisoned.y.flip(0))
    assert poisoned.attributes is not None
    poisoned.attributes.copy_(1 - poisoned.attributes)
    val, test = pictures(24, seed=3), pictures(24, seed=4)
    progress(Data("tiny", poisoned, val, Sealed(test), "abc123", {}), PLAN, tmp_path / "other")
    assert pretrained(tmp_path / "one") == pretrained(tmp_path / "other")
    other = replace(data, train=pictures(32, seed=9))
    progress(other, PLAN, tmp_path / "third")
    assert pretrained(tmp_path / "one") != pretrained(tmp_path / "third")


def test_a_run_killed_in_pretraining_continues_there(data: Data, tmp_path: Path) -> None:
    def kill(told: Pretraining) -> None:
        if told.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(data, PLAN, tmp_path / "killed", on_pretraining=kill)
    hidden = [path.suffix for path in (tmp_path / "killed" / "pretrained").iterdir()]
    assert ".pt" in hidden
    assert ".safetensors" not in hidden
    (told,) = progress(data, PLAN, tmp_path / "killed")
    assert (told.epoch, len(told.losses)) == (3, 3)
    progress(data, PLAN, tmp_path / "whole")
    one, other = (
        [safetensors.torch.load(content) for content in pretrained(tmp_path / name).values()]
        for name in ("killed", "whole")
    )
    assert len(one) == len(other) == 1, "nothing but the encoder is left"
    assert all(torch.equal(tensor, other[0][name]) for name, tensor in one[0].items())


def test_a_damaged_or_foreign_file_is_refused(data: Data, tmp_path: Path) -> None:
    execute(data, PLAN, tmp_path)
    (kept,) = (tmp_path / "pretrained").iterdir()
    content = kept.read_bytes()
    weights = safetensors.torch.load(content)
    kept.write_bytes(safetensors.torch.save(weights, {"evenhand": '{"of": "another", "losses": []}'}))
    with pytest.raises(BadInput, match="holds an encoder of another pretraining; remove it"):
        execute(data, changed(lr=0.1), tmp_path)
    kept.write_bytes(content[:100])
    with pytest.raises(BadInput, match=r"the pretrained encoder .* cannot be read .* remove it to train it anew"):
        execute(data, changed(lr=0.1), tmp_path)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pretrain": "barlow"}, "unknown pretrain 'barlow'; did you mean 'barlowtwins'"),
        ({"pretrain": "mae", "pretrain_options": ()}, "mae is for vision transformers"),
        ({"pretrain_options": ("dimensions=8",)}, "did you mean 'dimension'"),
        ({"pretrain_epochs": 0}, "pretrain_epochs must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    data: Data, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        execute(data, changed(**settings), tmp_path)
    assert not list(tmp_path.iterdir())


def run_and_tell(data: Data, method: str, out: Path, result: Any) -> None:
    result.put([(told.epoch, told.found) for told in progress(data, replace(PLAN, method=method), out)])


@pytest.fixture
def two_processes(data: Data, tmp_path: Path) -> Iterator[Any]:
    context = multiprocessing.get_context("forkserver")
    result = context.Queue()
    both = [context.Process(target=run_and_tell, args=(data, name, tmp_path, result)) for name in ("erm", "rwg")]
    for process in both:
        process.start()
    yield result
    for process in both:
        process.join()


@pytest.mark.slow
def test_of_two_processes_one_makes_the_encoder_and_the_other_waits_for_it(two_processes: Any, tmp_path: Path) -> None:
    told = sorted((two_processes.get(timeout=170) for _ in range(2)), key=len)
    assert told == [[(3, True)], [(1, False), (2, False), (3, False)]]
    assert [name.partition("-")[0] for name in pretrained(tmp_path)] == ["barlowtwins"]
    assert len(list(tmp_path.glob("*/metrics.json"))) == 2


@pytest.mark.slow
def test_a_comparison_in_workers_makes_one_encoder_and_tells_how_far_it_is(tmp_path: Path) -> None:
    told: list[study.Progress] = []
    study.compare(
        "digits", ["erm", "rwg"], out=tmp_path, seeds=1, n_workers=2, on_progress=told.append,
        settings=SETTINGS | {"widths": (4, 4, 4)}, data_options={"copies": "1"},
    )  # fmt: skip
    file = next(iter((tmp_path / "pretrained").iterdir()))
    reasons = sorted(progress.reason for progress in told if progress.kind == "pretraining")
    assert reasons[-2:] == [f"pretraining by barlowtwins, epoch {epoch} of 3" for epoch in (1, 2)]
    assert [reason.endswith(str(file)) for reason in reasons] == [True, True, False, False]
    assert sum("(found)" in reason for reason in reasons) == 1
    assert [progress.kind for progress in told].count("done") == 2


def test_one_epoch_is_said_as_one() -> None:
    one = Pretraining("moco", 1, 1, (2.5,), Path("file"))
    assert str(one) == "Encoder pretrained by moco for 1 epoch (loss 2.5 in the first epoch, 2.5 in the last): file"
    assert " for 2 epochs (" in str(replace(one, epoch=2, epochs=2))
