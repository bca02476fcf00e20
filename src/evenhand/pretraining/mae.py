"""Masked autoencoder: paint what is hidden of an image, for vision transformers."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from evenhand.errors import BadInput
from evenhand.inputs.views import View, Views
from evenhand.pretraining._base import Objective, fused, in_full


@dataclass(frozen=True)
class MAE(Objective):
    """Predict the pixels of patches that the encoder has not seen, from those that it has.

    He et al. (2022), Masked autoencoders are scalable vision learners, Section 3, with lightly's masked transformers.
    Of P patches a random `masked` share is left out for each image; the encoder sees the rest, a small decoder gets
    its tokens with a learned one in each gap:

        loss = mean over masked patches of mean((predicted - target)**2)

    where the target is the patch, standardised by its own mean and standard deviation if `normalise`.

    Differs from the authors' code: `normalise` is on, as in the command they recommend, not off; windows and mirror
    images are drawn as in `inputs.views`. A random encoder starts as theirs does: uniform (Xavier), with fixed
    positions of sines and cosines, which later training may change. Needs an encoder that is a vision transformer of
    torchvision (`vit_b_16`) or timm (`timm:vit_…`).

    Attributes:
        batch_size, lr, weight_decay, warm_up: see `Objective`; AdamW with betas of 0.9 and 0.95.
        masked: share of the patches, in (0, 1); at least one stays and one goes.
        decoder_width, decoder_depth, decoder_heads: of the decoder's blocks.
        normalise: standardise each patch before it is compared.
        window: smallest share of the image in a window.
    """

    lr: float = 1.5e-4
    weight_decay: float = 0.05
    warm_up: float = 0.05
    masked: float = 0.75
    decoder_width: int = 512
    decoder_depth: int = 8
    decoder_heads: int = 16
    normalise: bool = True
    window: float = 0.2

    needs: ClassVar[tuple[str, ...]] = ("lightly", "timm")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.masked < 1:
            raise BadInput(f"masked of mae must lie strictly between 0 and 1, got {self.masked}")
        if min(self.decoder_depth, self.decoder_heads) < 1 or self.decoder_width < 4:
            raise BadInput("decoder_depth and decoder_heads of mae must be at least 1, decoder_width at least 4")
        if self.decoder_width % self.decoder_heads or self.decoder_width % 4:
            raise BadInput(
                f"decoder_width of mae must be a multiple of 4 and of decoder_heads, got {self.decoder_width} with "
                f"{self.decoder_heads} heads"
            )

    def views(self, size: int) -> Views:
        """One, of a window and its mirror image."""
        return Views(size, (View((self.window, 1.0), jitter=0.0, grey=0.0, blur=0.0),))

    def check(self, encoder: nn.Module, shape: tuple[int, ...]) -> None:
        body = transformer(encoder)
        n_patches = patches(body)
        if not 1 <= self.kept(n_patches) < n_patches:
            raise BadInput(
                f"mae cannot hide a share of {self.masked} of {n_patches} patches and keep at least one of each; "
                "choose larger images, smaller patches or another masked"
            )

    def kept(self, n_patches: int) -> int:
        """How many patches the encoder sees."""
        return int(n_patches * (1 - self.masked))

    def optimizer(self, learner: nn.Module) -> Optimizer:
        return torch.optim.AdamW(self.grouped(learner), betas=(0.9, 0.95), fused=fused(learner))

    def learner(self, encoder: nn.Module, n_features: int, n_rows: int, *, fresh: bool) -> nn.Module:
        return Painter(encoder, self, fresh=fresh)


class Painter(nn.Module):
    """Encoder of what is visible and decoder of what is not."""

    def __init__(self, encoder: Any, objective: MAE, *, fresh: bool) -> None:
        from lightly.models.modules import MaskedVisionTransformerDecoderTIMM

        super().__init__()
        body = transformer(encoder)
        self.normalise: nn.Module = encoder.normalise
        self.standardised = objective.normalise
        self.vit = masked_transformer(body, fresh=fresh)
        self.n_patches, self.masked = patches(body), objective.masked
        self.n_prefix = self.vit.sequence_length - self.n_patches
        self.patch = patch_side(body)
        width = objective.decoder_width
        self.embed = nn.Linear(self.vit.mask_token.shape[-1], width)
        self.decoder = MaskedVisionTransformerDecoderTIMM(
            self.n_patches, width, objective.decoder_depth, objective.decoder_heads, num_prefix_tokens=self.n_prefix
        )
        self.predict = nn.Linear(width, 3 * self.patch**2)
        for layer in (self.embed, self.predict):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        nn.init.normal_(self.decoder.mask_token, std=0.02)

    def forward(self, views_BV: Tensor) -> Tensor:
        from lightly.models.utils import get_at_index, patchify, random_token_mask, repeat_token, set_at_index

        x_BCHW = self.normalise(views_BV[:, 0])
        batch, device = len(x_BCHW), x_BCHW.device
        drawn = random_token_mask((batch, self.n_patches), self.masked, mask_class_token=True)  # on the CPU
        keep_BP, masked_BP = (index.to(device, non_blocking=True) for index in drawn)
        prefix = torch.arange(self.n_prefix, device=device).expand(batch, -1)
        seen_BP = torch.cat([prefix, keep_BP + self.n_prefix], dim=1)
        tokens = self.embed(self.vit.encode(x_BCHW, idx_keep=seen_BP))
        gaps = repeat_token(self.decoder.mask_token, (batch, self.n_patches + self.n_prefix)).to(tokens.dtype)
        decoded = self.decoder(set_at_index(gaps, seen_BP, tokens))
        predicted = self.predict(get_at_index(decoded, masked_BP + self.n_prefix))
        target = get_at_index(patchify(x_BCHW, self.patch), masked_BP)
        return patch_error(predicted, target, normalise=self.standardised)


def patch_error(predicted_BPK: Tensor, target_BPK: Tensor, *, normalise: bool) -> Tensor:
    """Mean squared difference of patches; with `normalise` from the standardised ones (unbiased variance + 1e-6)."""
    predicted_BPK, target_BPK = in_full(predicted_BPK, target_BPK)
    if normalise:
        from lightly.models.utils import normalize_mean_var

        target_BPK = normalize_mean_var(target_BPK, dim=-1)
    return F.mse_loss(predicted_BPK, target_BPK)


# --- the transformers of two libraries ---


def transformer(encoder: nn.Module) -> Any:
    """The vision transformer inside `encoder`.

    Raises:
        BadInput: there is none.
    """
    body: Any = getattr(encoder, "body", None)
    if _of_torchvision(body) or (_of_timm(body) and body.pos_embed is not None):
        return body
    kind = type(encoder if body is None else body).__name__
    raise BadInput(
        f"pretraining by mae is for vision transformers (vit_b_16, timm:vit_…), not for the encoder {kind}; "
        "barlowtwins and moco take any"
    )


def _of_torchvision(body: Any) -> bool:
    from torchvision.models import VisionTransformer

    return isinstance(body, VisionTransformer)


def _of_timm(body: Any) -> bool:
    if find_spec("timm") is None:
        return False
    from timm.models.vision_transformer import VisionTransformer

    return isinstance(body, VisionTransformer)


def patches(body: Any) -> int:
    """P, of an image."""
    return int(body.seq_length - 1 if _of_torchvision(body) else body.patch_embed.num_patches)


def patch_side(body: Any) -> int:
    """Pixels a side of a patch.

    Raises:
        BadInput: patches are not square.
    """
    if _of_torchvision(body):
        return int(body.patch_size)
    height, width = body.patch_embed.patch_size
    if height != width:
        raise BadInput(f"pretraining by mae is for square patches, got {height}×{width}")
    return int(height)


def masked_transformer(body: Any, *, fresh: bool) -> Any:
    """lightly's transformer around `body`, which drops masked tokens; a fresh one begins as the authors' does."""
    start = {
        "weight_initialization": "" if fresh else "skip",
        "pos_embed_initialization": "sincos" if fresh else "skip",
    }
    if _of_torchvision(body):
        from lightly.models.modules.masked_vision_transformer_torchvision import MaskedVisionTransformerTorchvision

        return MaskedVisionTransformerTorchvision(body, **start)
    from lightly.models.modules import MaskedVisionTransformerTIMM

    if body.pos_embed.shape[1] != patches(body) + body.num_prefix_tokens:
        start["pos_embed_initialization"] = "skip"  # positions of patches alone, which lightly cannot fill
    return MaskedVisionTransformerTIMM(body, **start)
