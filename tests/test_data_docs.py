"""The pages in docs: files describe data that load, commands have the options that they use."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

import test_docs
from evenhand import data, encoders
from evenhand.data._changes import CHANGES
from evenhand.inputs.augmentation import augmentation

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "data.md").read_text()
TOML = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)
COMMANDS = [
    pytest.param(line.partition("  #")[0].strip(), id=f"{page.stem}: {line.strip()[:60]}")
    for page in sorted(DOCS.glob("*.md"))
    for block in re.findall(r"```sh\n(.*?)```", page.read_text(), flags=re.DOTALL)
    for line in block.replace("\\\n", " ").splitlines()
    if line.startswith("evenhand ")
]


def test_own_images_load(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for k in range(60):
        picture = Image.fromarray(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8))
        picture.save(tmp_path / f"{k}.png")
    pl.DataFrame({
        "file": [f"{k}.png" for k in range(60)],
        "diagnosis": ["benign", "malignant"] * 30,
        "sex": ["f", "f", "m", "m", None, "f"] * 10,
        "patient": [k // 2 for k in range(60)],
    }).write_csv(tmp_path / "lesions.csv")  # fmt: skip
    (tmp_path / "lesions.toml").write_text(TOML[0])
    loaded = data.load(str(tmp_path / "lesions.toml"))
    assert loaded.train.class_names == ("benign", "malignant")
    assert loaded.train.n_unknown > 0
    assert loaded.train.batch(loaded.train.y[:2]).x.shape[1:] == (3, 64, 64)
    assert loaded.recommended["epochs"] == 20


def test_own_texts_load(tmp_path: Path) -> None:
    pl.DataFrame({
        "comment": [f"word{k % 7} and word{k % 5}" for k in range(60)],
        "toxic": ["yes", "no"] * 30,
        "dialect": ["a", "a", "b"] * 20,
    }).write_csv(tmp_path / "comments.csv")  # fmt: skip
    (tmp_path / "comments.toml").write_text(TOML[1])
    loaded = data.load(str(tmp_path / "comments.toml"))
    assert loaded.train.attribute_names == ("dialect",)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_these_options(command: str) -> None:
    test_docs.test_every_command_of_the_readme_has_these_options(command)


def test_every_encoder_is_named() -> None:
    for name in encoders.names():
        assert re.search(rf"`{name}(:NAME)?`", PAGE), name


def test_every_augmentation_is_known() -> None:
    names = re.search(r"go through `augment`: (.*?), joined", PAGE, flags=re.DOTALL)
    assert names is not None
    for name in re.findall(r"`([a-z-]+)`", names[1]):
        assert augmentation(name, 32) is not None


def test_options_that_are_named_exist() -> None:
    for option in re.findall(r"--set data\.([a-z_]+)=", PAGE):
        if option not in ("tokenizer", *CHANGES):
            assert option in data.find("waterbirds").option_names(), option
    assert "tokenizer" in data.find("text").option_names()
    data.load("digits", imbalance_ratio=8)
