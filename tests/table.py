"""A small table of one's own with four groups, on which a training takes a moment."""

from __future__ import annotations

import random
from pathlib import Path

DESCRIPTION = """\
path = "people.csv"
label = "hired"
positive = "yes"
attributes = ["sex"]
split = "part"

[training]
encoder = "mlp"
epochs = 3
batch_size = 32
lr = 0.01
"""


def write_table(folder: Path, rows: int = 360, more: str = "") -> Path:
    """Write table and description; the description's path. The minority's label goes with its own feature."""
    draw = random.Random(0)
    lines = ["skill,luck,sex,part,hired"]
    for row in range(rows):
        hired, sex = draw.random() < 0.5, "f" if draw.random() < 0.2 else "m"
        skill = draw.gauss(1.5 if hired else -1.5, 1) * (1 if sex == "m" else 0.2)
        part = ("train", "train", "val", "test")[row % 4]
        lines.append(f"{skill:.4f},{draw.gauss(0, 1):.4f},{sex},{part},{'yes' if hired else 'no'}")
    (folder / "people.csv").write_text("\n".join(lines) + "\n")
    path = folder / "people.toml"
    path.write_text(DESCRIPTION + more)
    return path
