"""The real files where they are present, and small ones in the official layout everywhere."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

Rows = Sequence[str]


@pytest.fixture(scope="session")
def real_root() -> Path:
    """The folder of the real data sets: EVENHAND_DATA, or shared/data beside the repository."""
    beside = Path(__file__).parents[3] / "shared" / "data"
    root = Path(os.environ.get("EVENHAND_DATA") or beside)
    if not (root / "adult" / "adult.data").is_file():
        pytest.skip(f"the real Adult files are not in {root}/adult (set EVENHAND_DATA)")
    return root


def person(age: int, sex: str, income: str, occupation: str = "Sales", workclass: str = "Private") -> str:
    return (
        f"{age}, {workclass}, 77516, Bachelors, 13, Never-married, {occupation}, Husband, White, {sex}, 0, 0, "
        f"{30 + age % 7}, United-States, {income}"
    )


@pytest.fixture
def people() -> list[str]:
    """24 complete rows of training data with every label and sex, and one with a missing occupation."""
    rows = [person(20 + i, sex, income) for i in range(6) for sex in ("Male", "Female") for income in ("<=50K", ">50K")]
    return [*rows, person(60, "Male", "<=50K", occupation="?")]


@pytest.fixture
def write_adult(tmp_path: Path, people: list[str]) -> Callable[..., Path]:
    """Write small files in the official layout below a root, which is returned."""

    def write(train: Rows | None = None, test: Rows | None = None) -> Path:
        folder = tmp_path / "root" / "adult"
        folder.mkdir(parents=True, exist_ok=True)
        train = people if train is None else train
        test = [row + "." for row in people] if test is None else test
        (folder / "adult.data").write_text("".join(row + "\n" for row in train) + "\n")
        (folder / "adult.test").write_text("|1x3 Cross validator\n" + "".join(row + "\n" for row in test) + "\n")
        return tmp_path / "root"

    return write
