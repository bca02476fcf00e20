"""`evenhand report` on 24 runs (8 methods × 3 seeds) of realistic size, from the start of the command to the page.

Each run has 50 epochs of 4 groups, test figures by epoch, tracked geometry and a file of predictions. Rounds take turns
with a bare interpreter and with `evenhand --help`.

To reach: ≤ 3 s, without torch; the page ≤ 6 MB.
"""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from evenhand import metrics

ROUNDS = 5
EVENHAND = str(Path(sys.executable).with_name("evenhand"))
METHODS = ("erm", "rwg", "subg", "groupdro", "mmsgd", "minimaxfair", "hsic", "ncdebias")
ROWS, EPOCHS = (7000, 4356, 557, 3143), 50
GROUPS = [f"income={y}, sex={a}" for y in ("<=50K", ">50K") for a in ("Female", "Male")]
SCALARS = (
    *("d_cls", "d_maj", "d_min", "w_sim", "nc1_cdnv", "nc2_structure_group_means", "nc3_product", "nc4_mismatch"),
    *(f"further_{number}" for number in range(60)),
)


def write_run(out: Path, method: str, seed: int) -> None:
    rng = random.Random(f"{method}{seed}")
    folder = out / f"{method}-seed{seed}-{rng.randrange(16**12):012x}"
    folder.mkdir()
    counts = [counted([rng.uniform(0.5, 0.98) for _ in ROWS]) for _ in range(EPOCHS)]
    figures = metrics.evaluate(counts[-1])
    settings = {
        "encoder": "mlp",
        "epochs": EPOCHS,
        "batch_size": 256,
        "lr": 0.001,
        "seed": seed,
        "select": "worst_group",
    }
    write(folder / "config.json", {
        "format": 1, "data": {"name": "made", "fingerprint": "0" * 64}, "method": {"name": method, "options": {}},
        "settings": settings, "oracle": True, "track": "collapse",
    })  # fmt: skip
    groups = [
        {"group": name, "train": 2 * rows, "val": rows // 2, "test": rows, "accuracy": accuracy,
         "low": accuracy - 0.02, "high": min(accuracy + 0.02, 1.0)}
        for name, rows, accuracy in zip(GROUPS, ROWS, accuracies(counts[-1]), strict=True)
    ]  # fmt: skip
    worst = min(groups, key=lambda group: group["accuracy"])
    write(folder / "metrics.json", {
        "val": figures, "test": figures, "groups": groups, "unknown_groups": {},
        "labels": {"label": "income", "classes": ["<=50K", ">50K"],
                   "attributes": [{"name": "sex", "values": ["Female", "Male"]}]},
        "worst_group": {"group": worst["group"], "value": worst["accuracy"], "low": 0.4, "high": 0.6},
        "selection": {"rule": "worst_group", "epoch": EPOCHS - 1, "score": 0.7}, "epochs": EPOCHS, "seconds": 60.0,
        "oracle": {"epoch": 3, "test": figures}, "environment": {"evenhand": "0.1.0", "device": "cpu"},
    })  # fmt: skip
    each = [{"loss": [0.3] * 4, "accuracy": accuracies(one), "count": [rows // 2 for rows in ROWS]} for one in counts]
    write_lines(folder / "history.jsonl", [
        {"stage": 0, "epoch": e, "lr": 0.001, "train": part, "val": part, "score": 0.5, "seconds": 1.2}
        for e, part in enumerate(each)
    ])  # fmt: skip
    write_lines(folder / "test_by_epoch.jsonl", [
        {"stage": 0, "epoch": e, "counts": one.to_list()} for e, one in enumerate(counts)
    ])  # fmt: skip
    table = {f"column_{number}": [rng.random() for _ in ROWS] for number in range(12)}
    part = {
        "scalars": {name: rng.random() for name in SCALARS},
        "classes": table,
        "groups": table | {"variance": [1.0] * 4},
    }
    write_lines(folder / "collapse.jsonl", [
        {"stage": 0, "epoch": e, "parts": {"train": part, "val": part, "test": part}} for e in range(EPOCHS)
    ])  # fmt: skip
    vectors = [
        {"kind": "group_mean", "name": name, "class": g // 2, "attribute": g % 2, "count": ROWS[g],
         "xyz": [rng.gauss(0, 1) for _ in range(3)]}
        for g, name in enumerate(GROUPS)
    ]  # fmt: skip
    write(folder / "geometry.json", {"parts": {"val": part, "test": part}, "vectors": vectors, "explained": 0.9})
    (folder / "predictions.parquet").write_bytes(rng.randbytes(300_000))
    (folder / "model.safetensors").write_bytes(rng.randbytes(1_000_000))


def counted(levels: list[float]) -> metrics.Counts:
    cells = [[[0, 0], [0, 0]], [[0, 0], [0, 0]]]
    for g, (level, rows) in enumerate(zip(levels, ROWS, strict=True)):
        y, a = divmod(g, 2)
        cells[a][y][y] = round(level * rows)
        cells[a][y][1 - y] = rows - cells[a][y][y]
    return metrics.Counts.from_list(cells)


def accuracies(counts: metrics.Counts) -> list[float]:
    nested = counts.to_list()
    return [nested[a][y][y] / sum(nested[a][y]) for y in range(2) for a in range(2)]


def write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))


def write_lines(path: Path, lines: list[Any]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        for method in METHODS:
            for seed in range(3):
                write_run(out, method, seed)
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "evenhand --help": [EVENHAND, "--help"],
            "evenhand report, 24 runs": [EVENHAND, "report", str(out)],
        }
        for command in commands.values():
            seconds(command)
        rounds = [[seconds(command) for command in commands.values()] for _ in range(ROUNDS)]
        for k, label in enumerate(commands):
            times = [row[k] for row in rounds]
            ratio = statistics.median(row[k] / row[0] for row in rounds)
            middle = statistics.median(times)
            print(f"{label:26s} {middle:.3f} s  (min {min(times):.3f}), {ratio:5.1f} x a bare interpreter")
        size, record = ((out / name).stat().st_size / 2**20 for name in ("report.html", "report.json"))
        print(f"the page has {size:.2f} MB, report.json beside it {record:.2f} MB")


if __name__ == "__main__":
    main()
