"""Models of open_clip and diffusers with random weights, small enough to be built in a test."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evenhand.batch import Split, TensorInputs
from evenhand.data import Data, Sealed

SIDE = 16
CLIP_CONFIG: dict[str, Any] = {
    "embed_dim": 12,
    "vision_cfg": {"image_size": SIDE, "layers": 1, "width": 16, "head_width": 8, "patch_size": 8},
    "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 1},
}
BIRDS = ("landbird", "water_bird", "Käfer & co. {1}")


def clip(seed: int = 0, **changes: Any) -> torch.nn.Module:
    import open_clip

    torch.manual_seed(seed)
    return open_clip.CLIP(**{**CLIP_CONFIG, **changes}).eval()


def clip_folder(folder: Path, seed: int = 0, preprocess: dict[str, Any] | None = None) -> Path:
    """A folder as open_clip reads it, with the config of `clip` and its weights."""
    from safetensors.torch import save_file

    folder.mkdir(exist_ok=True)
    config = {"model_cfg": CLIP_CONFIG, "preprocess_cfg": preprocess or {}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    save_file(clip(seed).state_dict(), folder / "open_clip_model.safetensors")
    return folder


def pipeline(folder: Path, *, latent: bool = True, prediction: str = "epsilon", variance: bool = False) -> Path:
    """A folder as diffusers stores a pipeline, whose network takes latents of images of 16 pixels, or 8 pixels."""
    import diffusers
    import transformers

    torch.manual_seed(0)
    letters = string.ascii_lowercase + "."
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    tokenizer = transformers.CLIPTokenizer({word: k for k, word in enumerate(words)}, [], model_max_length=20)
    text = transformers.CLIPTextModel(transformers.CLIPTextConfig(
        vocab_size=len(words), hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=20, bos_token_id=0, eos_token_id=1, pad_token_id=1,
    ))  # fmt: skip
    channels = 4 if latent else 3
    unet = diffusers.UNet2DConditionModel(
        sample_size=8, in_channels=channels, out_channels=channels * (1 + variance), layers_per_block=1,
        block_out_channels=(8, 16), down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=8, attention_head_dim=2,
        norm_num_groups=4,
    )  # fmt: skip
    parts: dict[str, Any] = {"text_encoder": text, "unet": unet}
    if latent:
        parts["vae"] = diffusers.AutoencoderKL(
            block_out_channels=(8, 8), down_block_types=("DownEncoderBlock2D",) * 2, norm_num_groups=4,
            up_block_types=("UpDecoderBlock2D",) * 2, latent_channels=4, sample_size=16,
        )  # fmt: skip
    for name, part in parts.items():
        with torch.no_grad():  # random weights hardly tell texts apart
            for weight in part.parameters():
                weight.mul_(1.5)
        part.save_pretrained(folder / name)
    tokenizer.save_pretrained(folder / "tokenizer")
    diffusers.DDPMScheduler(num_train_timesteps=100, prediction_type=prediction).save_pretrained(folder / "scheduler")
    index = {"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"],
             "scheduler": ["diffusers", "DDPMScheduler"], "tokenizer": ["transformers", "CLIPTokenizer"],
             "text_encoder": ["transformers", "CLIPTextModel"],
             "vae": ["diffusers", "AutoencoderKL"] if latent else [None, None]}  # fmt: skip
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def images(n_rows: int, seed: int = 0, side: int = SIDE, channels: int = 3) -> Tensor:
    """Smooth random images in [-1, 1]."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n_rows, channels, 4, 4, generator=rng) * 2 - 1
    return torch.nn.functional.interpolate(coarse, (side, side), mode="bilinear")


def split(n_rows: int, seed: int = 0, **shape: int) -> Split:
    rng = torch.Generator().manual_seed(seed)
    y, a = (torch.randint(size, (n_rows,), generator=rng) for size in (len(BIRDS), 2))
    y[:3], a[:2] = torch.arange(3)[:n_rows], torch.arange(2)[:n_rows]
    return Split(
        TensorInputs(images(n_rows, seed, **shape)), y, len(BIRDS), a[:, None], (2,), BIRDS, ("place",),
        (("land", "water"),), "bird",
    )  # fmt: skip


def data(n_rows: int = 24, **shape: int) -> Data:
    parts = [split(n_rows, seed, **shape) for seed in range(3)]
    return Data("birds", parts[0], parts[1], Sealed(parts[2]), "0123456789abcdef", {})
