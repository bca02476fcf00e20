"""Neural-collapse statistics of features, against their floor and against plain code in the same run.

    first pass    `Moments` over all rows
    second pass   `RowPass`: nearest means, the classifier's predictions, distances, scatter where class means differ
    measures      every scalar, the tables of classes and groups

    floor         read all features once, and one D × D product of float32 of them
    plain         two passes class by class and group by group, as the formulas stand: masks, a covariance matrix for
                  each class and each group, the pseudo-inverse; float32, and NC1-NC4 only, which is less than all
    lean          the same with one scatter matrix for all classes, and none for groups

Rounds take turns, and each ratio is the median over rounds. To reach: all at least 3 × faster than plain, the first
pass at most 2 × the floor.

With `--stream`, features of ImageNet's size (1.28 M × 2048, 1000 classes) are written to a temporary file of 10.5 GB
and read from there piece by piece, twice; `--rows 128000` takes a tenth. To reach: at most 2 × the floor, within 8 GiB.
Half of the rows are done first: memory must not grow.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np
import torch
from torch import Tensor

from evenhand.collapse import Classifier, Moments, RowPass, class_table, group_table, measure

Piece = tuple[Tensor, Tensor, Tensor]
PIECE = 16384


def seconds(function: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def peak() -> float:
    """The most memory that this process has had, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def made(n_rows: int, n_features: int, n_groups: int, n_attributes: int, seed: int) -> Piece:
    """Clouds around group means."""
    means_GD = torch.randn(n_groups, n_features, generator=torch.Generator().manual_seed(0))
    rng = torch.Generator().manual_seed(seed)
    group_N = torch.randint(n_groups, (n_rows,), generator=rng)
    x_ND = torch.randn(n_rows, n_features, generator=rng).mul_(3).add_(means_GD[group_N]).add_(1)
    return x_ND, group_N // n_attributes, group_N


def plain(
    x_ND: Tensor, y_N: Tensor, group_N: Tensor, classifier: Classifier, n_groups: int, *, lean: bool
) -> dict[str, Any]:
    """What one writes down from the papers."""
    weight_CD, bias_C = classifier.weight_CD.float(), classifier.bias_C.float()
    C, D = weight_CD.shape
    mean_CD = torch.stack([x_ND[y_N == c].mean(0) for c in range(C)])
    within_DD, distance = torch.zeros(D, D), torch.zeros(())
    for c in range(C):
        own = x_ND[y_N == c]
        centred = own - mean_CD[c]
        within_DD += centred.T @ centred if lean else torch.cov(own.T, correction=0) * len(own)
        distance += centred.norm(dim=1).sum()
    variance_G = []
    for g in range(n_groups):
        own = x_ND[group_N == g]
        if lean:
            variance_G.append((own - own.mean(0)).square().sum(1).mean())
        else:
            variance_G.append(torch.cov(own.T, correction=0).trace())
    offset_CD = mean_CD - mean_CD.mean(0)
    between_DD = offset_CD.T @ offset_CD / C
    gram_CC = offset_CD @ offset_CD.T
    prediction_N = (x_ND @ weight_CD.T + bias_C).argmax(1)
    return {
        "nc1": torch.trace(within_DD / len(x_ND) @ torch.linalg.pinv(between_DD)) / C,
        "distance": distance / len(x_ND),
        "variance": variance_G,
        "nc2": gram_CC / gram_CC.norm() - (torch.eye(C) - 1 / C) / (C - 1) ** 0.5,
        "nc3": (weight_CD / weight_CD.norm() - offset_CD / offset_CD.norm()).square().sum(),
        "nc4": (torch.cdist(x_ND, mean_CD).argmin(1) != prediction_N).float().mean(),
    }


def in_memory(options: argparse.Namespace) -> None:
    n_classes, n_attributes = options.classes, options.attributes
    n_groups = n_classes * n_attributes
    x_ND, y_N, group_N = made(options.rows, options.features, n_groups, n_attributes, 1)
    classifier = Classifier.of(torch.randn(n_classes, options.features), torch.randn(n_classes))
    found: dict[str, Any] = {}

    def first() -> None:
        found["moments"] = Moments(options.features, n_classes, n_attributes)
        found["moments"].update(x_ND, y_N, group_N)

    def second() -> None:
        found["rows"] = RowPass(found["moments"], classifier)
        found["rows"].update(x_ND, y_N, group_N)

    def measures() -> None:
        found["scalars"] = measure(found["moments"], classifier, rows=found["rows"])
        class_table(found["moments"], classifier, rows=found["rows"])
        group_table(found["moments"], classifier, rows=found["rows"])

    def by_hand(*, lean: bool) -> None:
        found["plain"] = plain(x_ND, y_N, group_N, classifier, n_groups, lean=lean)

    parts: dict[str, Callable[[], Any]] = {
        "floor": lambda: (x_ND.sum(), x_ND.T @ x_ND),
        "first pass": first,
        "second pass": second,
        "measures": measures,
        "plain": lambda: by_hand(lean=False),
        "lean": lambda: by_hand(lean=True),
    }
    times: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(options.rounds):
        for name, part in parts.items():
            times[name].append(seconds(part))
    times["all"] = [
        sum(turn) for turn in zip(*(times[n] for n in ("first pass", "second pass", "measures")), strict=True)
    ]
    size = f"{options.rows} x {options.features}, {n_classes} classes, {n_groups} groups"
    print(f"{size}, {options.threads} threads, median of {options.rounds} rounds")
    for name, own in times.items():
        print(f"{name:12s} {statistics.median(own):8.3f} s   {ratio(own, times['floor']):6.2f} × the floor")
    print(f"first pass over the floor: {ratio(times['first pass'], times['floor']):.2f} (at most 2)")
    print(f"plain over all: {ratio(times['plain'], times['all']):.2f} (at least 3)")
    print(f"lean over all: {ratio(times['lean'], times['all']):.2f}")
    pairs = (("nc1_papyan", "nc1"), ("nc1_distance", "distance"), ("nc3_distance", "nc3"), ("nc4_mismatch", "nc4"))
    for ours, theirs in pairs:
        print(f"{ours:14s} {found['scalars'][ours]:.6f}   plain {float(found['plain'][theirs]):.6f}")


def ratio(own: list[float], other: list[float]) -> float:
    """Rounds are paired: what else the machine does at that moment slows both."""
    return statistics.median(a / b for a, b in zip(own, other, strict=True))


def pieces(file: Path, options: argparse.Namespace, n_rows: int) -> Iterator[Piece]:
    """The first rows of the file, through one buffer, so that the reading takes no memory that grows."""
    group_N = np.fromfile(file.with_suffix(".groups"), dtype=np.int64, count=n_rows)
    buffer = np.empty((PIECE, options.features), dtype=np.float32)
    with file.open("rb", buffering=0) as stream:
        for begin in range(0, n_rows, PIECE):
            piece_BD = buffer[: min(PIECE, n_rows - begin)]
            view = memoryview(piece_BD).cast("B")
            done = 0
            while done < len(view):
                done += stream.readinto(view[done:]) or 0
            group_B = torch.from_numpy(group_N[begin : begin + len(piece_BD)])
            yield torch.from_numpy(piece_BD), group_B // options.attributes, group_B


def written(file: Path, options: argparse.Namespace) -> None:
    n_groups = options.classes * options.attributes
    with file.open("wb") as features, file.with_suffix(".groups").open("wb") as groups:
        for begin in range(0, options.rows, PIECE):
            size = min(PIECE, options.rows - begin)
            x_BD, _, group_B = made(size, options.features, n_groups, options.attributes, begin + 1)
            features.write(x_BD.numpy().data)
            groups.write(group_B.numpy().data)


def streamed(options: argparse.Namespace) -> None:
    n_classes, n_attributes, D = options.classes, options.attributes, options.features
    classifier = Classifier.of(torch.randn(n_classes, D), torch.randn(n_classes))

    def floor(n_rows: int) -> None:
        total_DD = torch.zeros(D, D)
        for x_BD, _, _ in pieces(file, options, n_rows):
            total_DD += x_BD.T @ x_BD

    def both(n_rows: int) -> tuple[Moments, RowPass]:
        moments = Moments(D, n_classes, n_attributes)
        for piece in pieces(file, options, n_rows):
            moments.update(*piece)
        rows = RowPass(moments, classifier)
        for piece in pieces(file, options, n_rows):
            rows.update(*piece)
        return moments, rows

    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        file = Path(folder) / "features"
        written(file, options)
        print(
            f"{options.rows} x {D}, {n_classes} classes, {n_classes * n_attributes} groups, {options.threads} threads"
        )
        least = seconds(lambda: floor(options.rows))
        print(f"floor                        {least:8.1f} s                    {peak():6.2f} GiB", flush=True)
        for share, n_rows in (("half of the rows", options.rows // 2), ("all rows", options.rows)):
            found: list[tuple[Moments, RowPass]] = []
            took = seconds(lambda n=n_rows, keep=found: keep.append(both(n)))
            line = f"{took:8.1f} s   {took / least:6.2f} × the floor   {peak():6.2f} GiB"
            print(f"both passes, {share:16s}{line}", flush=True)
        moments, rows = found[0]
        took = seconds(lambda: measure(moments, classifier, rows=rows))
        print(f"measures                     {took:8.1f} s   {took / least:6.2f} × the floor   {peak():6.2f} GiB")
        print("(to reach: all rows at most 2 × the floor, within 8 GiB)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stream", action="store_true", help="features of ImageNet's size, from a temporary file")
    parser.add_argument("--folder", help="where the temporary file goes")
    parser.add_argument("--rows", type=int, help="default 50000, with --stream 1281167")
    parser.add_argument("--features", type=int, help="default 512, with --stream 2048")
    parser.add_argument("--classes", type=int, help="default 100, with --stream 1000")
    parser.add_argument("--attributes", type=int, help="default 2, with --stream 1")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    usual = (1281167, 2048, 1000, 1) if options.stream else (50_000, 512, 100, 2)
    for name, value in zip(("rows", "features", "classes", "attributes"), usual, strict=True):
        setattr(options, name, getattr(options, name) or value)
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    (streamed if options.stream else in_memory)(options)


if __name__ == "__main__":
    main()
