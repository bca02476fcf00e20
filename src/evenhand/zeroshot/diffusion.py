"""Diffusion classifier: the class whose prompt best predicts the noise in a noised image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Generator, Tensor

from evenhand import encoders
from evenhand.batch import Batch
from evenhand.data._base import digest
from evenhand.errors import BadInput
from evenhand.randomness import generator
from evenhand.zeroshot._base import Classifier, ZeroShot
from evenhand.zeroshot._images import fitted
from evenhand.zeroshot._pipeline import Parts, load
from evenhand.zeroshot._prompts import PHOTO, check_distinct, prompt


@dataclass(frozen=True, kw_only=True)
class Diffusion(ZeroShot):
    """Zero-shot prediction by a text-to-image diffusion model such as Stable Diffusion.

    Li, Prabhudesai, Duggal, Brown and Pathak (2023), Your diffusion model is secretly a zero-shot classifier, Section 3
    (classes equally likely beforehand), with the adaptive variant's stages. For pairs (t, noise) that classes share,

        error_C = mean over pairs of |noise - unet(sqrt(a_t) * x + sqrt(1 - a_t) * noise, t, text_C)|^2
        logits_C = -error_C

    with x the latent of the image (the image itself, in [-1, 1], for a model without an autoencoder) and a_t the
    cumulative product of the noise schedule's alphas. It costs C evaluations of the network a pair, so it goes by
    stages: after stage s all classes but the `keep[s]` with the smallest mean error so far are given up.

    A class that was given up keeps, as its logit, that of the best class minus the mean by which it was worse on the
    pairs that both were tried on; it never exceeds the best class's.

    Differs from the authors' code: errors are summed over the latent's elements, as in the paper's norm, not averaged,
    which changes the probabilities but not which class has the smallest; timesteps are the middles of equal intervals,
    in an order whose every beginning is spread evenly, so that a stage adds pairs to those before; noise depends on the
    seed and the row alone, not on batches.

    Attributes:
        model: a folder, or a name on the Hugging Face hub, with the parts of a pipeline of diffusers: unet, scheduler,
            tokenizer, text_encoder and, for latents, vae.
        trials: pairs that a class has been tried on after each stage, increasing or equal.
        keep: classes that remain after each stage but the last.
    """

    usual_batch_size: ClassVar[int] = 16

    trials: tuple[int, ...] = (50, 500)
    keep: tuple[int, ...] = (5,)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.templates) != 1:
            raise BadInput(f"diffusion takes one template, got {len(self.templates)}")
        check_stages(self.trials, self.keep)

    def identified(self) -> dict[str, str]:
        found = digest_of(Path(self.model).expanduser())
        return {"weights_sha256": found} if found else {}

    def classifier(self, device: torch.device, batch_size: int, seed: int) -> Classifier:
        return DiffusionClassifier(
            load(self.model, device), self.class_names, self.templates[0],
            trials=self.trials, keep=self.keep, batch_size=batch_size, seed=seed,
        )  # fmt: skip


class DiffusionClassifier:
    """The parts of a diffusion model with the prompts of the classes encoded once.

    Args:
        parts: of the model, on the device where it is to work.
        batch_size: noised images that go through the network at once.

    Raises:
        BadInput: the tokenizer cannot tell two classes apart.
    """

    def __init__(
        self,
        parts: Parts,
        class_names: Sequence[str],
        template: str = PHOTO,
        *,
        trials: tuple[int, ...],
        keep: tuple[int, ...],
        batch_size: int,
        seed: int,
    ) -> None:
        self.parts, self.trials, self.keep, self.batch_size, self.seed = parts, trials, keep, batch_size, seed
        tokens_CL = parts.tokens([prompt(template, name) for name in class_names])
        check_distinct(tokens_CL, class_names)
        self.text_CLD: Tensor = torch.cat([parts.encode_text(chunk) for chunk in torch.split(tokens_CL, 256)])
        self.timesteps_T = timesteps(trials[-1], len(parts.alphas))

    @property
    def n_classes(self) -> int:
        return len(self.text_CLD)

    def logits(self, batch: Batch) -> Tensor:
        """(B, C) float64 logits of the images of a batch; the noise of each follows from the seed and its row."""
        rows = batch.rows.tolist()
        each = [self.of_image(x[None], generator(self.seed, row)) for x, row in zip(batch.x, rows, strict=True)]
        return torch.stack(each)

    @torch.no_grad()
    def of_image(self, x_1CHW: Tensor, rng: Generator) -> Tensor:
        """(C,) float64 logits of one image in [-1, 1], on the CPU."""
        latent = self.parts.encode_image(fitted(x_1CHW, (self.parts.side, self.parts.side)))[0]
        noise_T = torch.randn(len(self.timesteps_T), *latent.shape, generator=rng)  # on the CPU: alike on all devices
        return by_stages(
            lambda classes, pairs: self.errors(latent, noise_T, classes, pairs), self.n_classes, self.trials, self.keep
        )

    @torch.no_grad()
    def errors(self, latent: Tensor, noise_T: Tensor, classes_M: Tensor, pairs_P: Tensor) -> Tensor:
        """(M, P) float64 squared errors of these classes on these pairs of timestep and noise, on the CPU."""
        found = []
        for chunk in torch.split(torch.cartesian_prod(classes_M, pairs_P), self.batch_size):
            c, k = chunk.unbind(1)
            text = self.text_CLD[c.to(self.text_CLD.device)]
            noise = noise_T[k].to(latent)
            predicted = self.parts.predicted_noise(latent, noise, self.timesteps_T[k].to(latent.device), text)
            found.append((noise - predicted).square().flatten(1).sum(1).cpu().double())
        return torch.cat(found).view(len(classes_M), len(pairs_P))


def check_stages(trials: Sequence[int], keep: Sequence[int]) -> None:
    """Raise BadInput unless these are numbers of pairs that do not shrink and of classes that do not grow."""
    if not trials or min(trials) < 1 or list(trials) != sorted(trials):
        raise BadInput(f"trials must be whole numbers of at least 1 that do not decrease, got {tuple(trials)}")
    if len(keep) != len(trials) - 1 or any(k < 1 for k in keep) or list(keep) != sorted(keep, reverse=True):
        raise BadInput(
            "keep must say for each stage but the last how many classes remain, never more than before, got "
            f"{tuple(keep)} for {len(trials)} stages"
        )


def by_stages(
    errors_of: Callable[[Tensor, Tensor], Tensor], n_classes: int, trials: Sequence[int], keep: Sequence[int]
) -> Tensor:
    """(C,) logits from errors that are asked for only as long as a class can still be the best.

    Args:
        errors_of: the (M, P) float64 errors of M classes on P pairs, both by number.
    """
    error_CT = torch.full((n_classes, trials[-1]), torch.nan, dtype=torch.float64)
    left, done = torch.arange(n_classes), 0
    for total, kept in zip(trials, (*keep, 1), strict=True):
        if total > done:
            error_CT[left, done:total] = errors_of(left, torch.arange(done, total))
            done = total
        left = left[error_CT[left, :done].mean(1).argsort(stable=True)[:kept]].sort().values
        if len(left) == 1:
            break
    best_T = error_CT[left[0]]
    worse_C = (error_CT - best_T).nanmean(1).clamp(min=0)
    return -(best_T.nanmean() + worse_C)


def timesteps(n_pairs: int, n_steps: int) -> Tensor:
    """(T,) int64 timesteps in 0..n_steps-1: the middles of `n_pairs` equal intervals, every beginning spread evenly.

    They are visited in the order of van der Corput's sequence in base 2.
    """
    even = ((torch.arange(n_pairs, dtype=torch.float64) + 0.5) * n_steps / n_pairs).long()
    inverse = torch.tensor([_radical_inverse(k) for k in range(n_pairs)], dtype=torch.float64)
    return even[inverse.argsort().argsort()]


def _radical_inverse(number: int) -> float:
    """The binary digits of a number, mirrored at the point: 6 = 110 becomes 0.011."""
    found, place = 0.0, 0.5
    while number:
        found += place * (number & 1)
        number, place = number >> 1, place / 2
    return found


def digest_of(folder: Path) -> str | None:
    """SHA-256 of all files of weights and settings in a folder with the parts of a pipeline; None for a name."""
    if not folder.is_dir():
        return None
    parts = sorted(path for path in folder.iterdir() if path.is_dir())
    described = [file.read_bytes() for part in parts for file in sorted(part.glob("*.json"))]
    return digest(*((part.name, encoders.digest(str(part))) for part in parts if any(part.iterdir())), *described)
