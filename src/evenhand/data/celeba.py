"""CelebA: faces of celebrities with 40 binary attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from evenhand.data._base import read_text
from evenhand.data._columns import ROW, Table
from evenhand.data._image_set import ImageSet, Listing
from evenhand.data._metadata import Metadata
from evenhand.data._table import Labelled
from evenhand.errors import BadInput, unknown

ATTRIBUTES = (
    *("5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips", "Big_Nose"),
    *("Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin", "Eyeglasses"),
    *("Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones", "Male", "Mouth_Slightly_Open", "Mustache"),
    *("Narrow_Eyes", "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline", "Rosy_Cheeks"),
    *("Sideburns", "Smiling", "Straight_Hair", "Wavy_Hair", "Wearing_Earrings", "Wearing_Hat", "Wearing_Lipstick"),
    *("Wearing_Necklace", "Wearing_Necktie", "Young"),
)
# The targets of ClusterFix, Tables 1 and 2: of 32 the five with the widest and the five with the narrowest gaps.
CLUSTERFIX_TARGETS = (
    *("Double_Chin", "Pale_Skin", "Chubby", "Wearing_Necklace", "Wearing_Hat"),
    *("Big_Lips", "Bangs", "Receding_Hairline", "Wavy_Hair", "Brown_Hair"),
)
INSIDE = ("img_align_celeba/", "img_align_celeba/img_align_celeba/")
BLOND_BY_MALE = {
    "train": (71629, 66874, 22880, 1387),
    "val": (8535, 8276, 2874, 182),
    "test": (9767, 7535, 2480, 180),
}
ATTRACTIVE_BY_MALE = {
    "train": (29920, 49247, 64589, 19014),
    "val": (3728, 5807, 7681, 2651),
    "test": (4263, 5801, 7984, 1914),
}


@dataclass(frozen=True)
class Celeba(ImageSet):
    """Aligned faces of Liu, Luo, Wang and Tang (2015), Deep learning face attributes in the wild; official partition.

    The default, blond hair by gender, is the task of Sagawa et al. (2020) and of GBMix, and the one whose group sizes
    are published. Lu, Chai and Wang (2024) predict `Attractive`; ClusterFix the ten of `CLUSTERFIX_TARGETS`.
    The 178 central pixels are used, as by Sagawa et al. Reads the official text files (also as torchvision keeps them)
    and the comma-separated ones of Kaggle.

    Differs from Lu, Chai and Wang: they cut val at random from the official train (15 %) and leave out the official
    val; their numbers in train (29916, 49242, 64581, 19013) are 18 less than the files hold.

    Attributes:
        target: any of the 40 attributes.
        attribute: one or more others, crossed into groups.
    """

    title: ClassVar[str] = "Celebrities: any of 40 attributes, by gender"
    homepage: ClassVar[str] = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
    licence: ClassVar[str] = "non-commercial research only"
    folder: ClassVar[str] = "celeba"
    other_folders: ClassVar[tuple[str, ...]] = ("CelebA", "celebA")
    steps: ClassVar[str] = (
        "Download img_align_celeba.zip, list_attr_celeba.txt and list_eval_partition.txt from the page\n"
        "Put the text files into ROOT/celeba and unpack the images there, to ROOT/celeba/img_align_celeba"
    )
    window: ClassVar[int | None] = 178
    published_images: ClassVar[int] = 202599
    published: ClassVar[Mapping[str, tuple[int, ...]]] = BLOND_BY_MALE

    target: str = "Blond_Hair"
    attribute: tuple[str, ...] = ("Male",)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in (self.target, *self.attribute):
            if name not in ATTRIBUTES:
                raise unknown("attribute of celeba", name, ATTRIBUTES)
        if len({self.target, *self.attribute}) < 1 + len(self.attribute):
            raise BadInput(f"target and attributes must differ, got {', '.join((self.target, *self.attribute))}")

    def listing(self, root: Path | None) -> Listing:
        """Read the attributes (-1 or 1) and the partition (0 train, 1 val, 2 test) of each `image_id`."""
        folder = self.home(root)
        table = self.labels(folder, "list_attr_celeba", (self.target, *self.attribute))
        partition = self.labels(folder, "list_eval_partition", ("partition",))
        rows = table.rows_of("image_id", "image_id", partition)
        if len(partition) != len(table):
            raise BadInput(
                f"{partition.table.path} has {len(partition)} images, but {table.table.path} has {len(table)}"
            )
        return Listing(
            folder,
            table.image_paths("image_id", folder, inside=INSIDE, endings=(".jpg", ".png")),
            self.labelled(table),
            partition.codes("partition", ("0", "1", "2"))[rows],
            inside=INSIDE,
            source=str(partition.table.path),
        )

    def labels(self, folder: Path, name: str, columns: Sequence[str]) -> Metadata:
        """The text file of this name, or the comma-separated one."""
        official, kaggle = folder / f"{name}.txt", folder / f"{name}.csv"
        if kaggle.is_file() and not official.is_file():
            return Metadata.read(kaggle, ("image_id", *columns))
        if not official.is_file():
            raise BadInput(f"celeba needs the file {official}, which is not there; see {self.homepage}")
        return read_spaced(official, columns, headed=name == "list_attr_celeba")

    def labelled(self, table: Metadata) -> Labelled:
        """Target and attributes of a table that has -1 or 1 in each of their columns."""
        codes = {name: table.codes(name, ("-1", "1")) for name in (self.target, *self.attribute)}
        return Labelled(
            codes[self.target],
            (f"not {self.target}", self.target),
            np.stack([codes[name] for name in self.attribute], axis=1),
            self.attribute,
            tuple(("no", "yes") for _ in self.attribute),
            self.target,
        )

    def wanted(self) -> Mapping[str, tuple[int, ...]]:
        """The rows of each group of the official files, for the two targets that they are known for."""
        known = {"Blond_Hair": BLOND_BY_MALE, "Attractive": ATTRACTIVE_BY_MALE}
        return known.get(self.target, {}) if self.attribute == ("Male",) else {}


def read_spaced(path: Path, columns: Sequence[str], *, headed: bool) -> Metadata:
    """A table whose fields are separated by spaces, the first one called `image_id`.

    Args:
        headed: whether it begins with a line that counts the rows and one that names the columns after the first;
            otherwise the columns are `columns`.

    Raises:
        BadInput: the file is not text, has no such column, or a line has another number of fields than it should.
    """
    import polars as pl

    lines = pl.DataFrame({"text": pl.Series(read_text(path).splitlines(), dtype=pl.String)})
    lines = lines.with_columns(pl.col("text").str.strip_chars().str.replace_all(r"\s+", " ")).with_row_index("line")
    names = ["image_id", *columns]
    if headed:
        names = ["image_id", *(lines["text"][1].split(" ") if len(lines) > 1 else [])]
        counted, lines = (lines["text"][0] if len(lines) else ""), lines[2:]
    lines = lines.filter(pl.col("text") != "")
    wrong = lines.filter(pl.col("text").str.count_matches(" ", literal=True) != len(names) - 1)
    if len(wrong):
        line, text = wrong.row(0)
        raise BadInput(f"{path}, line {line + 1}: {text.count(' ') + 1} fields instead of {len(names)}")
    if headed and counted != str(len(lines)):
        raise BadInput(
            f"{path}, line 1 says that there are {counted!r} images, but there are {len(lines)} lines of them"
        )
    if lines.is_empty() or len(set(names)) < len(names):
        raise BadInput(f"{path} has " + ("no rows of data" if lines.is_empty() else "two columns of one name"))
    fields = pl.col("text").str.split_exact(" ", len(names) - 1).struct.rename_fields(names)
    frame = lines.select(pl.col("line").cast(pl.Int64).alias(ROW), fields).unnest("text")
    table = Table(frame, path, "")
    table.require(columns)
    return Metadata(table)
