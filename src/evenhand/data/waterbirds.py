"""Waterbirds: birds pasted onto backgrounds of land or water."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from evenhand.data._image_set import ImageSet, Listing
from evenhand.data._metadata import Metadata
from evenhand.data._table import Labelled

PLACES, BIRDS = ("land", "water"), ("landbird", "waterbird")


@dataclass(frozen=True)
class Waterbirds(ImageSet):
    """Landbirds and waterbirds (Caltech-UCSD Birds) on backgrounds of land or water (Places).

    Sagawa, Koh, Hashimoto and Liang (2020), Distributionally robust neural networks for group shifts.

    Attributes:
        target: what is predicted: the `bird`, with the place as attribute, or the `place`, with the bird.
    """

    title: ClassVar[str] = "Landbirds and waterbirds on land or water"
    homepage: ClassVar[str] = "https://github.com/kohpangwei/group_DRO"
    licence: ClassVar[str] = "research use, as CUB-200-2011 and Places"
    folder: ClassVar[str] = "waterbirds_v1.0"
    other_folders: ClassVar[tuple[str, ...]] = ("waterbird_complete95_forest2water2",)
    files: ClassVar[tuple[str, ...]] = ("metadata.csv",)
    steps: ClassVar[str] = (
        "Download waterbird_complete95_forest2water2.tar.gz, which the page links to\n"
        "Unpack it in ROOT: the folder holds metadata.csv and one folder for each of 200 species\n"
        "The archive waterbirds_v1.0.tar.gz of WILDS is the same and also has the right folder name"
    )
    published_images: ClassVar[int] = 11788
    published: ClassVar[Mapping[str, tuple[int, ...]]] = {
        "train": (3498, 184, 56, 1057),
        "val": (467, 466, 133, 133),
        "test": (2255, 2255, 642, 642),
    }

    target: Literal["bird", "place"] = "bird"

    def listing(self, root: Path | None) -> Listing:
        """Read `metadata.csv`: img_filename, y (1 waterbird), place (1 water), split (0 train, 1 val, 2 test)."""
        (file,) = self.locate(root)
        table = Metadata.read(file, ("img_filename", "y", "place", "split"))
        bird, place = (table.codes(column, ("0", "1")) for column in ("y", "place"))
        y, attribute = (bird, place) if self.target == "bird" else (place, bird)
        classes, values = (BIRDS, PLACES) if self.target == "bird" else (PLACES, BIRDS)
        names = ("bird", "place") if self.target == "bird" else ("place", "bird")
        return Listing(
            file.parent,
            table.image_paths("img_filename", file.parent),
            Labelled(y, classes, attribute[:, None], names[1:], (values,), names[0]),
            table.codes("split", ("0", "1", "2")),
            source=f"the column split of {file}",
        )

    def wanted(self) -> Mapping[str, tuple[int, ...]]:
        """The published rows of each group, for either target."""
        if self.target == "bird":
            return self.published
        return {part: (counts[0], counts[2], counts[1], counts[3]) for part, counts in self.published.items()}
