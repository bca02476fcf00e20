"""UTKFace: faces whose file names tell age, gender and race."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from evenhand.data._dealing import dealt, group_of
from evenhand.data._image_set import ENDINGS, ImageSet, Listing, shortened
from evenhand.data._metadata import files_below
from evenhand.data._table import Codes, Labelled
from evenhand.errors import BadInput

NAME = re.compile(r"(\d{1,3})_([01])_([0-4])_(\d+)\.jpg(\.chip\.jpg)?", re.IGNORECASE)
FRACTIONS = (0.8, 0.1, 0.1)
GENDERS = ("male", "female")
AGES = ("0-19", "20-59", "60+")
RACES_2, RACES_3 = ("White", "non-White"), ("White", "Black", "others")
COLLAPSE = (3801, 482, 651, 4723)  # male White, male other, female White, female other


@dataclass(frozen=True)
class Utkface(ImageSet):
    """Faces of Zhang, Song and Qi (2017), Age progression/regression by conditional adversarial autoencoder.

    There is no official split: images are dealt 80/10/10 to the parts, each group alike. Files whose names do not tell
    age, gender and race (three of the official release lack the race) are left out.

    Attributes:
        target: `gender`, with White or not as attribute, as Lu, Chai and Wang (2024, Section 3.2); or `age` (up to 19,
            20 to 59, from 60 on) with race (White, Black, others) as attribute: the nine groups of the study of GBMix
            (its Table 5).
        imbalance: `kdd24` keeps of train, at random, 3801 White and 482 other men and 651 White and 4723 other women,
            the group sizes of Lu, Chai and Wang (2024, Appendix A); fewer in the same proportions where there are not
            so many. How they chose theirs is not published. `natural` keeps all.
        split_seed: of the dealing to train, val and test, and of what `imbalance` keeps.
    """

    title: ClassVar[str] = "Faces: gender by race, or age by race"
    homepage: ClassVar[str] = "https://susanqq.github.io/UTKFace/"
    licence: ClassVar[str] = "non-commercial research only"
    folder: ClassVar[str] = "UTKFace"
    steps: ClassVar[str] = (
        "Download UTKFace.tar.gz (Aligned&Cropped Faces) from the page\n"
        "Unpack it in ROOT: the folder UTKFace holds 23708 files such as 25_0_2_20170104022054399.jpg.chip.jpg"
    )
    published_images: ClassVar[int] = 23708

    target: Literal["gender", "age"] = "gender"
    imbalance: Literal["natural", "kdd24"] = "natural"
    split_seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.imbalance == "kdd24" and self.target != "gender":
            raise BadInput("imbalance=kdd24 is of target=gender, but target is 'age'")

    def listing(self, root: Path | None) -> Listing:
        """Read the names: `[age]_[gender]_[race]_[time].jpg.chip.jpg`, gender 1 female, race 0 White and 1 Black."""
        folder = self.home(root)
        images = sorted(name for name in files_below(folder) if name.lower().endswith(ENDINGS))
        parsed = [(name, NAME.fullmatch(name.rpartition("/")[2])) for name in images]
        told = [(name, match) for name, match in parsed if match]
        if not told:
            raise BadInput(f"{folder} has no images named as [age]_[gender]_[race]_[time].jpg.chip.jpg")
        untold = [name for name, match in parsed if not match]
        age, gender, race = np.array([match.groups()[:3] for _, match in told], dtype=np.int64).T
        labelled = self._labelled(age, gender, race)
        _check_names(folder, [name for name, _ in told])
        parts = dealt(group_of(labelled), FRACTIONS, self.split_seed)
        notes = [f"left out: {folder / name}, whose name does not tell age, gender and race" for name in untold]
        notes = shortened(notes, "images whose names do not")
        kept_N = np.ones(len(told), dtype=bool)
        if self.imbalance == "kdd24":
            kept_N, counts = thinned(group_of(labelled), parts, COLLAPSE, self.split_seed)
            notes.append(f"train keeps {' + '.join(map(str, counts))} images: men White, other, women White, other")
        kept = np.flatnonzero(kept_N)
        return Listing(
            folder,
            tuple(told[row][0] for row in kept),
            replace(labelled, y=labelled.y[kept], attributes=labelled.attributes[kept]),
            parts[kept],
            notes=tuple(notes),
            left_out=(*untold, *(told[row][0] for row in np.flatnonzero(~kept_N))),
        )

    def _labelled(self, age: Codes, gender: Codes, race: Codes) -> Labelled:
        if self.target == "gender":
            return Labelled(gender, GENDERS, np.minimum(race, 1)[:, None], ("race",), (RACES_2,), "gender")
        ages = np.digitize(age, (20, 60)).astype(np.int64)
        return Labelled(ages, AGES, np.minimum(race, 2)[:, None], ("race",), (RACES_3,), "age")


def thinned(
    group_N: Codes, parts: Codes, wanted_G: tuple[int, ...], seed: int
) -> tuple[np.ndarray[tuple[int], np.dtype[np.bool_]], list[int]]:
    """(N,) which rows stay when train is thinned at random to `wanted_G` rows of each group, and how many these are.

    Where a group has fewer rows, all are scaled down by the same factor.
    """
    rng = np.random.default_rng((seed, 1))
    order = rng.permutation(len(group_N))
    train_G = [order[(group_N[order] == g) & (parts[order] == 0)] for g in range(len(wanted_G))]
    factor = min(1.0, *(len(rows) / count for rows, count in zip(train_G, wanted_G, strict=True)))
    counts = [int(factor * count) for count in wanted_G]
    kept_N = parts != 0
    for rows, count in zip(train_G, counts, strict=True):
        kept_N[rows[:count]] = True
    return kept_N, counts


def _check_names(folder: Path, names: list[str]) -> None:
    """Raise BadInput if two images in different folders have one name."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.rpartition("/")[2], name)
        if other != name:
            raise BadInput(f"{folder} has two images of one name: {other} and {name}")
