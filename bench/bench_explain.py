"""What class activation maps cost: seconds of every kind for resnet18, and how far from what they cannot do without.

    seconds   for all images, with what comes before the layer computed once
    floor     of kinds with a gradient: one pass of all images through the network and back to the layer; of an
              ablation: one pass through the network, and one multiplication of all channels' activations, each in turn
              without its own, by the classifier
    ratio     seconds over floor
    plain     seconds of the whole network for every map and every ablated channel, from a few images

To reach: 100 images of 64 pixels and five kinds in at most 120 s. Cut and plain maps are compared, too.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import torch

from evenhand import encoders
from evenhand.explanations.cams import KINDS, maps
from evenhand.explanations.layers import find_layer
from evenhand.model import Model

ROUNDS = 3


def seconds(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """The processor's time of the fastest round: what else the machine does does not count."""
    found = []
    for _ in range(rounds):
        begin = time.process_time()
        work()
        found.append(time.process_time() - begin)
    return min(found)


def passes(model: Model, x: torch.Tensor, layer: str) -> None:
    """Forward, and back to the layer."""
    kept: list[torch.Tensor] = []
    handle = model.get_submodule(layer).register_forward_hook(lambda module, args, output: kept.append(output))
    logits = model(x.clone().requires_grad_())
    handle.remove()
    torch.autograd.grad(logits[:, 0].sum(), kept)


@torch.no_grad()
def ablations(model: Model, x: torch.Tensor, channels: int, places: int) -> None:
    """Forward, and the pooling and classifying of every channel's ablation of every image."""
    model(x)
    activations = torch.rand(channels, channels, places)
    for _ in range(len(x)):
        model.classifier(activations.mean(-1))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="resnet18")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--plain", type=int, default=1, help="images of the plain way, of which an ablation takes long")
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    torch.manual_seed(0)
    model = encoders.build(asked.encoder, (3, asked.side, asked.side), 2).eval()
    x = torch.rand(asked.images, 3, asked.side, asked.side) * 2 - 1
    y = torch.arange(asked.images) % 2
    layer = find_layer(model, x[:1])
    channels, places = model.classifier.in_features, layer.grid[0] * layer.grid[1]
    maps(model, x[:2], y[:2], ("gradcam",))  # imports
    floors = {"gradient": seconds(lambda: passes(model, x, layer.name)),
              "ablation": seconds(lambda: ablations(model, x, channels, places))}  # fmt: skip
    few = slice(0, asked.plain)
    print(f"{asked.images} images of {asked.side} pixels, {asked.encoder}, layer {layer.name} {channels}×{layer.grid}")
    print(f"{'kind':12}{'seconds':>9}{'floor':>9}{'ratio':>7}{'plain':>9}{'plain/cut':>11}{'difference':>12}")
    for kind in KINDS:
        floor = floors.get(kind, floors["gradient"])
        own = seconds(lambda kind=kind: maps(model, x, y, (kind,), layer=layer))  # type: ignore[misc]
        scale = asked.images / asked.plain
        maps(model, x[:1], y[:1], ("gradcam",), layer=layer, split=False)
        plain = scale * seconds(
            lambda kind=kind: maps(model, x[few], y[few], (kind,), layer=layer, split=False), 1  # type: ignore[misc]
        )  # fmt: skip
        both = (maps(model, x[few], y[few], (kind,), layer=layer, split=split)[kind] for split in (True, False))
        apart = float(abs(next(both) - next(both)).max())
        print(f"{kind:12}{own:9.2f}{floor:9.2f}{own / floor:7.2f}{plain:9.1f}{plain / own:11.1f}{apart:12.1e}")
    begin, began = time.perf_counter(), time.process_time()
    maps(model, x, y, layer=layer)
    print(f"all five: {time.process_time() - began:.2f} s of the processor, {time.perf_counter() - begin:.2f} s by the "
          "clock (to reach: 120 s)")  # fmt: skip


if __name__ == "__main__":
    main()
