"""The interface of a data set: where its files are, what they must hold, and how they become three splits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from evenhand.batch import Split


@dataclass(frozen=True, eq=False)
class Sealed:
    """A test split that training and selection cannot read: only its size is visible until it is unsealed.

    `unseal` is for the evaluation of a finished model; a test checks that nothing else calls it.
    """

    _split: Split

    def __len__(self) -> int:
        return len(self._split)

    def unseal(self) -> Split:
        """The split itself, to report on a model that is already chosen."""
        return self._split


@dataclass(frozen=True, eq=False)
class Data:
    """A data set in its three parts.

    Attributes:
        name: as it is shown and stored in run folders.
        fingerprint: hash of what was read; runs on other content count as other runs.
        recommended: encoder and training settings by name, used where the user gives none.
    """

    name: str
    train: Split
    val: Split
    test: Sealed
    fingerprint: str
    recommended: Mapping[str, Any]


@dataclass(frozen=True)
class Download:
    """One file of a data set at its official address.

    Attributes:
        url: where it is.
        path: where it belongs, below the root.
        sha256: of its content, hexadecimal.
    """

    url: str
    path: str
    sha256: str


@dataclass(frozen=True)
class DataSet(ABC):
    """A data set in its official layout. Fields are options: which target, which attribute, which split seed."""

    title: ClassVar[str] = ""
    homepage: ClassVar[str] = ""
    licence: ClassVar[str] = ""
    folder: ClassVar[str] = ""  # official folder name below the root; empty for built-in data
    downloads: ClassVar[tuple[Download, ...]] = ()
    recommended: ClassVar[Mapping[str, Any]] = {}

    @abstractmethod
    def load(self, root: Path | None) -> Data:
        """Read and check everything.

        Raises:
            BadInput: something is missing or wrong; the message names file and line.
        """

    def check(self, root: Path | None) -> list[str]:
        """Where the files differ from what is published, one sentence each; empty when all is as it should be."""
        self.load(root)
        return []
