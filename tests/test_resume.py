"""A training killed at any instant continues and ends bit for bit as if nothing had happened."""

from __future__ import annotations

import multiprocessing
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

import killable
from evenhand import checkpoint, encoders
from evenhand.errors import BadInput, RunFailed
from evenhand.settings import Settings
from evenhand.train import fit

# Losses computed in all: 2 epochs × 7 batches, then 3 × 4 (on the 60 rows of validation), then 3 × 7.
LOSSES = 47

_server = multiprocessing.get_context("forkserver")


def run(folder: Path, method: str, kills: dict[str, int], **settings: Any) -> dict[str, Any] | None:
    """Train in a process of its own; None if it was killed."""
    result = folder / "result.pt"
    process = _server.Process(target=killable.train, args=(folder, method, kills, result, settings))
    process.start()
    process.join(timeout=120)
    assert process.exitcode in (0, -signal.SIGKILL), process.exitcode
    return torch.load(result, weights_only=True) if process.exitcode == 0 else None


def assert_same(found: Any, wanted: Any) -> None:
    """Bit for bit."""
    if isinstance(wanted, torch.Tensor):
        assert torch.equal(found, wanted)
    elif isinstance(wanted, dict):
        assert found.keys() == wanted.keys()
        for key in wanted:
            assert_same(found[key], wanted[key])
    else:
        assert found == wanted


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Any:
    made: dict[Any, Any] = {}

    def get(method: str, **settings: Any) -> dict[str, Any]:
        key = (method, *settings.items())
        if key not in made:
            made[key] = run(tmp_path_factory.mktemp(method), method, {}, **settings)
        found: dict[str, Any] = made[key]
        return found

    return get


@pytest.mark.parametrize(
    ("method", "losses"),
    [*(("everything", k) for k in (1, 4, 8, 14, 15, 17, 26, 27, LOSSES)), *(("restart", k) for k in (15, 20, 30))],
)
def test_killed_at_a_batch_of_any_stage(tmp_path: Path, uninterrupted: Any, method: str, losses: int) -> None:
    assert run(tmp_path, method, {"loss": losses}) is None
    assert_same(run(tmp_path, method, {}), uninterrupted(method))


def test_killed_again_and_again(tmp_path: Path, uninterrupted: Any) -> None:
    starts = 1
    while run(tmp_path, "everything", {"loss": 6}) is None:
        starts += 1
        assert starts < LOSSES
    assert starts >= LOSSES // 6
    assert_same(torch.load(tmp_path / "result.pt"), uninterrupted("everything"))


@pytest.mark.parametrize("writes", [1, 2, 9, 30])
def test_killed_while_writing_a_checkpoint(tmp_path: Path, uninterrupted: Any, writes: int) -> None:
    assert run(tmp_path, "everything", {"fsync": writes}) is None
    assert_same(run(tmp_path, "everything", {}), uninterrupted("everything"))


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "sgd", "schedule": "cosine", "clip": 0.5},
        {"optimizer": "adamw", "schedule": "step", "step_epochs": 1, "weight_decay": 0.1, "patience": 1},
    ],
    ids=["sgd-cosine-clip", "adamw-step-patience"],
)
def test_optimizer_schedule_and_patience_continue(tmp_path: Path, uninterrupted: Any, settings: dict[str, Any]) -> None:
    for losses in (9, 27):
        run(tmp_path, "everything", {"loss": losses}, **settings)
    assert_same(run(tmp_path, "everything", {}, **settings), uninterrupted("everything", **settings))


def test_snapshots_do_not_change_the_result(uninterrupted: Any) -> None:
    torch.manual_seed(1)
    model = killable.encoders.build("mlp", (6,), 2)
    fitted = killable.fit(
        model, killable.Everything(), *killable.splits(), killable.Settings(epochs=3, batch_size=16)
    )  # fmt: skip
    assert_same(fitted.model.state_dict(), uninterrupted("everything")["model"])


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    assert run(tmp_path, "everything", {"loss": 9}) is None
    with pytest.raises(BadInput, match=r"checkpoint\.pt is of another training \(Everything\(.*lr=0.001.* not of this"):
        killable.fit(
            killable.encoders.build("mlp", (6,), 2), killable.Everything(), *killable.splits(),
            killable.Settings(epochs=3, batch_size=16, lr=0.5), checkpoint=tmp_path / "checkpoint.pt",
        )  # fmt: skip


def test_loading_executes_no_code(tmp_path: Path) -> None:
    torch.save({"history": Path("anything that is not a tensor")}, tmp_path / "checkpoint.pt")
    with pytest.raises(RunFailed, match=r"checkpoint\.pt is not a checkpoint"):
        checkpoint.load(tmp_path / "checkpoint.pt")


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(RunFailed, match="remove it to train this run from its beginning"):
        checkpoint.load(tmp_path / "checkpoint.pt")


def test_seconds_before_a_kill_count(tmp_path: Path) -> None:
    assert run(tmp_path, "everything", {"loss": 12}) is None
    file = tmp_path / "checkpoint.pt"
    stored = checkpoint.load(file)
    assert stored is not None
    total, training = stored["seconds"]
    assert 0 < training <= total
    stored["seconds"] = (total + 100, training + 90)  # as if the batches before had taken so long
    checkpoint.save(file, stored)
    torch.manual_seed(1)
    model = encoders.build("mlp", (6,), 2)
    settings = Settings(epochs=3, batch_size=16)
    history = fit(model, killable.Everything(), *killable.splits(), settings, checkpoint=file).history
    late = [record for record in history if record["seconds"] > 100]
    assert [record["epoch"] for record in late] == [stored["epoch"]]
    assert 90 < late[0]["seconds_training"] < 100
