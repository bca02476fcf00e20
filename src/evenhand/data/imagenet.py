"""ImageNet (ILSVRC 2012): a thousand classes, which are the groups; also with the corrected labels of ImageNet-ReaL."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from evenhand.data._base import read_text
from evenhand.data._class_folders import ENDINGS, Found, class_names, find_images
from evenhand.data._class_set import LEFT_OUT, ClassOptions, listed
from evenhand.data._image_set import ImageSet, Listing
from evenhand.data._table import Codes
from evenhand.errors import BadInput

N_CLASSES, N_VAL = 1000, 50_000
DEVKIT = "ILSVRC2012_devkit_t12/data"
TRUTH, META = f"{DEVKIT}/ILSVRC2012_validation_ground_truth.txt", f"{DEVKIT}/meta.mat"
REAL = "real.json"
NUMBER = re.compile(r"_(\d{8})\.\w+$")
RESNET = {
    "encoder": "resnet50",
    "epochs": 90,
    "batch_size": 256,
    "optimizer": "sgd",
    "lr": 0.1,
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "schedule": "step",
}


@dataclass(frozen=True)
class Imagenet(ClassOptions, ImageSet):
    """1.28 million photographs of a thousand classes; the official validation images are the test part.

    Russakovsky et al. (2015), ImageNet large scale visual recognition challenge; Beyer et al. (2020), Are we done with
    ImageNet? (ReaL). Training images lie in `train/<wnid>/`, validation images in `val/<wnid>/` or, as in the official
    archive, in `val/` beside `ILSVRC2012_devkit_t12/`, which says what they show. Validation is cut from train.

    Attributes:
        truth: labels of the test part: `original`, or those of `real.json`. An image has several of these: its class is
            the original label if that is among them, else the first. Images without any are left out. Accuracy in the
            sense of ReaL, where any of them is right, is what `real_hits` gives.
    """

    title: ClassVar[str] = "ImageNet: photographs of a thousand classes"
    homepage: ClassVar[str] = "https://www.image-net.org/challenges/LSVRC/2012/"
    licence: ClassVar[str] = "non-commercial research, on application"
    folder: ClassVar[str] = "imagenet"
    other_folders: ClassVar[tuple[str, ...]] = ("ILSVRC2012", "imagenet-1k", "ILSVRC/Data/CLS-LOC")
    steps: ClassVar[str] = (
        "Apply for access at https://www.image-net.org/download-images and download ILSVRC2012_img_train.tar, "
        "ILSVRC2012_img_val.tar and ILSVRC2012_devkit_t12.tar.gz\n"
        "Unpack the archives of the classes in ROOT/imagenet/train/<wnid>/ and the validation images in "
        "ROOT/imagenet/val/\n"
        "Unpack the devkit in ROOT/imagenet/\n"
        "For truth=real put real.json of https://github.com/google-research/reassessed-imagenet in ROOT/imagenet/"
    )
    recommended: ClassVar[Mapping[str, Any]] = RESNET

    size: int = 224
    stored: int | None = 256
    fit: Literal["squash", "crop"] = "crop"
    augment: str = "resized-crop+flip"
    cache: Literal["disk", "none"] = "none"  # 250 GB would be a surprise
    val_fraction: float = 0.04  # about as many as in test
    truth: Literal["original", "real"] = "original"

    def listing(self, root: Path | None) -> Listing:
        """The images below `train/` and `val/`, the latter as test part."""
        home = self.home(root)
        for part in ("train", "val"):
            if not (home / part).is_dir():
                raise BadInput(f"imagenet needs the folder {home / part}, which is not there; see {self.homepage}")
        wnids = class_names(home / "train")
        train, test = find_images(home, "train", wnids), validation_images(home, wnids)
        found = Found(train.paths + test.paths, np.concatenate([train.y, test.y]), train.others + test.others)
        parts = self.parts(found.y, np.repeat([0, 2], [len(train.y), len(test.y)]), len(wnids))
        listing = listed(home, found, described(home, wnids), parts, inside=("train/", "val/"))
        return listing if self.truth == "original" else relabelled(listing, read_real(home, len(wnids)))

    def real_labels(self, root: Path | None) -> list[tuple[int, ...]]:
        """For each row of the test part of `truth="real"`, in its order, every class that is right: for `real_hits`.

        Files that `skip_bad` leaves out are among them.
        """
        home = self.home(root)
        lists = read_real(home, len(class_names(home / "train")))
        listing = replace(self, truth="real").listing(root)
        return [lists[image_number(listing.paths[row])] for row in np.flatnonzero(listing.parts == 2)]

    def check(self, root: Path | None) -> list[str]:
        """Where the numbers of classes and images differ from what is published; files are not decoded."""
        self.home(root)
        try:
            listing = self.listing(root)
        except BadInput as error:
            return [str(error)]
        counts = {
            "classes": (len(listing.labelled.classes), N_CLASSES),
            "training images": (int((listing.parts != 2).sum()) + len(listing.left_out), 1_281_167),
            "validation images": (int((listing.parts == 2).sum()), N_VAL),
        }
        if self.chosen_options().keys() & {"truth", "imbalance"}:
            counts = {"classes": counts["classes"]}
        return [
            f"{listing.folder} has {got} {what}, published are {wanted}"
            for what, (got, wanted) in counts.items()
            if got != wanted
        ]


def validation_images(home: Path, wnids: tuple[str, ...]) -> Found:
    """The images of `val/`, in folders of classes or flat with the ground truth of the devkit.

    Raises:
        BadInput: the devkit is needed and missing, or does not fit; the message names file and line.
    """
    folder = home / "val"
    files = sorted(path.name for path in folder.iterdir() if path.name.lower().endswith(ENDINGS))
    if not files:
        return find_images(home, "val", wnids)
    truth = home / TRUTH
    if not truth.is_file():
        raise BadInput(f"the images in {folder} are not in folders of classes, so {truth} must say what they show")
    code = {wnid: number for number, wnid in enumerate(wnids)}
    wnid_of = {number: wnid for number, (wnid, _) in read_synsets(home / META).items()}
    lines = read_text(truth).split()
    y = []
    for name in files:
        line = image_number(name)
        if line >= len(lines):
            raise BadInput(f"{truth} has {len(lines)} lines, none for {folder / name}")
        wnid = wnid_of.get(int(lines[line])) if lines[line].isdecimal() else None
        if wnid not in code:
            got = f"{wnid}, which has no folder in {home / 'train'}" if wnid else repr(lines[line])
            raise BadInput(f"{truth}, line {line + 1}: wanted the number of a class, got {got}")
        y.append(code[wnid])
    return Found(tuple(f"val/{name}" for name in files), np.array(y, dtype=np.int64))


def read_synsets(path: Path) -> dict[int, tuple[str, str]]:
    """WordNet id and words of each of the devkit's classes (those without children), by number.

    Raises:
        BadInput: the file is missing or no such table.
    """
    from scipy.io import loadmat

    if not path.is_file():
        raise BadInput(f"the devkit's {path} is not there")
    try:
        rows = np.atleast_1d(loadmat(path, squeeze_me=True)["synsets"])
        return {int(row[0]): (str(row[1]), str(row[2])) for row in rows if int(row[4]) == 0}
    except Exception as error:  # SciPy raises many kinds for a file that is not of MATLAB
        raise BadInput(f"{path} is not the devkit's table of classes: {error}") from error


def described(home: Path, wnids: tuple[str, ...]) -> tuple[str, ...]:
    """The classes by WordNet id, with their first word where the devkit is there."""
    if not (home / META).is_file():
        return wnids
    words = {wnid: text.partition(",")[0] for wnid, text in read_synsets(home / META).values()}
    return tuple(f"{wnid} {words[wnid]}" if wnid in words else wnid for wnid in wnids)


def image_number(path: str) -> int:
    """From 0, which validation image `…/ILSVRC2012_val_00000001.JPEG` is.

    Raises:
        BadInput: the name has no such number.
    """
    found = NUMBER.search(path)
    if not found or int(found[1]) < 1:
        raise BadInput(f"{path} is not named as validation images of ImageNet are (ILSVRC2012_val_00000001.JPEG)")
    return int(found[1]) - 1


# ImageNet-ReaL


def read_real(home: Path, n_classes: int) -> list[tuple[int, ...]]:
    """Every right class of each validation image, by its number from 0.

    Raises:
        BadInput: `real.json` is missing or no list of lists of classes; the message names the image.
    """
    path = home / REAL
    if not path.is_file():
        raise BadInput(f"truth=real needs {path} of https://github.com/google-research/reassessed-imagenet")
    try:
        lists = json.loads(read_text(path))
    except ValueError as error:
        raise BadInput(f"{path} is not valid JSON: {error}") from error
    if not isinstance(lists, list):
        raise BadInput(f"{path} must hold a list with the labels of each image")
    for number, labels in enumerate(lists):
        if not isinstance(labels, list) or not all(type(y) is int and 0 <= y < n_classes for y in labels):
            raise BadInput(
                f"{path}, image {number + 1}: wanted a list of classes in 0..{n_classes - 1}, got {json.dumps(labels)}"
            )
    return [tuple(labels) for labels in lists]


def relabelled(listing: Listing, lists: Sequence[tuple[int, ...]]) -> Listing:
    """Test images with one of their ReaL labels as class, those without any left out."""
    y_N, parts = listing.labelled.y.copy(), listing.parts.copy()
    for row in np.flatnonzero(parts == 2):
        number = image_number(listing.paths[row])
        if number >= len(lists):
            raise BadInput(f"{listing.folder / REAL} has {len(lists)} lists, none for {listing.paths[row]}")
        right = lists[number]
        if not right:
            parts[row] = LEFT_OUT
        elif y_N[row] not in right:
            y_N[row] = right[0]
    found = Found(listing.paths, y_N)
    made = listed(listing.folder, found, listing.labelled.classes, parts, inside=listing.inside)
    dropped = int((parts == LEFT_OUT).sum())
    note = f"left out {dropped} test images for which ReaL has no label." if dropped else ""
    notes = (*listing.notes, *([note] if note else []))
    return replace(made, notes=notes, left_out=(*listing.left_out, *made.left_out))


def real_hits(prediction_N: Codes, labels: Sequence[Sequence[int]]) -> NDArray[np.bool_]:
    """(N,) whether each predicted class is any of the image's ReaL labels; their mean is the ReaL accuracy.

    Args:
        prediction_N: predicted classes of the rows that `Imagenet.real_labels` describes. An image without a label
            counts for nothing and must not be among them.

    Raises:
        BadInput: lengths differ, or an image has no label.
    """
    if len(prediction_N) != len(labels):
        raise BadInput(f"got {len(prediction_N)} predictions for {len(labels)} images")
    if not all(labels):
        raise BadInput("an image without any ReaL label can be neither right nor wrong: leave it out")
    return np.array([int(y) in right for y, right in zip(prediction_N, labels, strict=True)], dtype=bool)
