"""The interface of a data set: where its files are, what they must hold, and how they become three splits.

Importing a data set's module stays light (no torch, no Polars): titles and addresses are class attributes, and what is
heavy is imported by `load`.
"""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from evenhand.errors import BadInput

if TYPE_CHECKING:
    from torch import Tensor

    from evenhand.batch import Split

Kind = Literal["table", "images", "text", "own"]


@dataclass(frozen=True, eq=False)
class Sealed:
    """A test split that training and selection cannot read: only its size and group sizes are visible.

    `unseal` is for the evaluation of a finished model; a test checks that nothing else calls it.
    """

    _split: Split

    def __len__(self) -> int:
        return len(self._split)

    @property
    def count_G(self) -> Tensor:
        """(G,) rows of each group."""
        return self._split.count_G

    def predicting(self, attribute: int | str) -> Sealed:
        """The same rows, still sealed, with an attribute in the place of the label."""
        from evenhand.data._attribute_label import predicting

        return Sealed(predicting(self._split, attribute))

    def unseal(self) -> Split:
        """The split itself, to report on a model that is already chosen."""
        return self._split


@dataclass(frozen=True, eq=False)
class Data:
    """A data set in its three parts.

    Attributes:
        name: as it is shown and stored in run folders.
        fingerprint: hash of what was read and how it was split; runs on other content count as other runs.
        recommended: encoder and training settings by name, used where the user gives none.
        feature_names: what each column of a tabular input means; empty where inputs are no table.
        recommended_options: of methods, by the method's name, for encoders that begin with random weights.
        options: those of the data set that were chosen otherwise than by default.
        notes: what the user should know of the reading, such as files that were left out; one sentence each.
    """

    name: str
    train: Split
    val: Split
    test: Sealed
    fingerprint: str
    recommended: Mapping[str, Any]
    feature_names: tuple[str, ...] = ()
    recommended_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def count_G(self) -> dict[str, Tensor]:
        """(G,) rows of each group, by part."""
        return {"train": self.train.count_G, "val": self.val.count_G, "test": self.test.count_G}


@dataclass(frozen=True)
class Download:
    """One file of a data set at its official address.

    Attributes:
        url: where it is.
        path: where it belongs, below the root.
        sha256: of its content, hexadecimal.
        unpacks: of an archive (tar or zip): the folder below the root that it becomes; the archive itself is not kept.
    """

    url: str
    path: str
    sha256: str
    unpacks: str = ""


@dataclass(frozen=True)
class DataSet(ABC):
    """A data set in its official layout. Fields are options: which target, which attribute, which split seed."""

    kind: ClassVar[Kind] = "table"  # under which heading it is listed
    title: ClassVar[str] = ""
    homepage: ClassVar[str] = ""
    licence: ClassVar[str] = ""
    folder: ClassVar[str] = ""  # official folder name below the root; empty for built-in data
    other_folders: ClassVar[tuple[str, ...]] = ()  # names that the folder has in other official releases
    files: ClassVar[tuple[str, ...]] = ()  # what must be in that folder
    downloads: ClassVar[tuple[Download, ...]] = ()
    steps: ClassVar[str] = ""  # how to get the files where there is no free download, one step a line
    recommended: ClassVar[Mapping[str, Any]] = {}

    @abstractmethod
    def load(self, root: Path | None) -> Data:
        """Read and check everything.

        Raises:
            BadInput: something is missing or wrong; the message names file and line.
        """

    def check(self, root: Path | None) -> list[str]:
        """Where the files differ from what is published, one sentence each; empty when all is as it should be.

        Raises:
            BadInput: there is nothing to check, because root, folder or files are missing.
        """
        if self.folder:
            self.locate(root)
        try:
            self.load(root)
        except BadInput as error:
            return [str(error)]
        return []

    def locate(self, root: Path | None) -> tuple[Path, ...]:
        """The paths of `files` below `root`.

        Raises:
            BadInput: no root is given, or root, folder or a file is not there; the message says how to get it.
        """
        home = self.home(root)
        paths = tuple(home / file for file in self.files)
        for path in paths:
            if not path.is_file():
                raise BadInput(f"{self.name()} needs the file {path}, which is not there; {self._get()}")
        return paths

    def home(self, root: Path | None) -> Path:
        """The data set's folder below `root`, by whichever of its official names.

        Raises:
            BadInput: no root is given, or root or folder is not there; the message says how to get it.
        """
        name, fetch = self.name(), self._get()
        if root is None:
            raise BadInput(
                f"{name} needs the folder that holds the data sets: pass --root DIR (root=… in Python) or set "
                f"EVENHAND_DATA; {fetch}"
            )
        if not root.is_dir():
            raise BadInput(f"the root {root} is not a folder; {name} is looked for in {root / self.folder} ({fetch})")
        folder = next((root / f for f in (self.folder, *self.other_folders) if (root / f).is_dir()), None)
        if folder is None:
            wanted = " or ".join(repr(f) for f in (self.folder, *self.other_folders))
            raise BadInput(f"there is no folder {wanted} in the root {root}, where {name} belongs; {fetch}")
        return folder

    def _get(self) -> str:
        if self.downloads:
            return f"`evenhand data fetch {self.name()} --root DIR` downloads it"
        return f"see {self.homepage}"

    @classmethod
    def name(cls) -> str:
        """The name by which the data set is asked for: that of its file."""
        return cls.__module__.rpartition(".")[2]

    def chosen_options(self) -> dict[str, Any]:
        """The options that are not at their defaults."""
        values = {each.name: (getattr(self, each.name), each.default) for each in fields(self)}
        return {name: value for name, (value, default) in values.items() if value != default}

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        """What `load` of the package takes beside name and root."""
        return tuple(field.name for field in fields(cls))


def digest(*parts: object) -> str:
    """Hexadecimal hash of bytes, arrays and plain values, in this order."""
    total = hashlib.sha256()
    for part in parts:
        content = part if isinstance(part, bytes | memoryview) else repr(part).encode()
        total.update(f"{len(content)}:".encode())
        total.update(content)
    return total.hexdigest()


def read_text(path: Path) -> str:
    """The whole file as UTF-8 text.

    Raises:
        BadInput: it cannot be read, or is not text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(
            f"{path} is not UTF-8 text (byte {error.start} does not belong there); is it compressed?"
        ) from error
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror or error}") from error


def default_root(root: str | os.PathLike[str] | None = None) -> Path | None:
    """`root` as a path, or else the folder that `EVENHAND_DATA` names, or None."""
    chosen = root if root is not None else os.environ.get("EVENHAND_DATA") or None
    return None if chosen is None else Path(chosen).expanduser()
