"""The parts of a text-to-image pipeline of diffusers, as far as a diffusion classifier needs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from evenhand.errors import BadInput
from evenhand.inputs import hub
from evenhand.zeroshot._base import library, silent

PREDICTIONS = ("epsilon", "v_prediction", "sample")


@dataclass(frozen=True, eq=False)
class Parts:
    """A denoising network with what it needs, all on one device, without gradients.

    Attributes:
        unet: a `UNet2DConditionModel` of diffusers.
        alphas: (steps,) cumulative products of the noise schedule's alphas.
        prediction: what the network predicts: the noise (`epsilon`), the velocity (`v_prediction`), or the `sample`.
        tokenizer, text_encoder: of CLIP, from transformers.
        vae: an `AutoencoderKL` of diffusers; None where the network works on pixels.

    Raises:
        BadInput: these parts are not those of a network that a text alone conditions.
    """

    unet: nn.Module
    alphas: Tensor
    prediction: str
    tokenizer: Any
    text_encoder: nn.Module
    vae: nn.Module | None = None

    def __post_init__(self) -> None:
        config: Any = self.unet.config
        if self.prediction not in PREDICTIONS:
            raise BadInput(f"the network predicts {self.prediction!r}; a diffusion classifier takes {PREDICTIONS}")
        if config.addition_embed_type is not None or config.class_embed_type is not None:
            raise BadInput(
                "the network needs more than one text (as Stable Diffusion XL does); a diffusion classifier takes "
                "networks that a text alone conditions, such as Stable Diffusion 1 and 2"
            )
        channels = 3 if self.vae is None else self._of(self.vae).latent_channels
        if config.in_channels != channels:
            raise BadInput(f"the network takes {config.in_channels} channels, but images have {channels}")
        if not isinstance(config.sample_size, int):
            raise BadInput(f"the network must be for squares of one size, got sample_size {config.sample_size}")

    @staticmethod
    def _of(module: nn.Module) -> Any:
        return module.config

    @property
    def side(self) -> int:
        """Pixels a side of the images that it works on."""
        shrinks = 1 if self.vae is None else 2 ** (len(self._of(self.vae).block_out_channels) - 1)
        return int(self._of(self.unet).sample_size) * shrinks

    def tokens(self, texts: Sequence[str]) -> Tensor:
        """(C, L) token ids, cut or filled up to the length that the text encoder was trained with."""
        length = min(self.tokenizer.model_max_length, self._of(self.text_encoder).max_position_embeddings)
        with silent():
            found = self.tokenizer(
                list(texts), padding="max_length", max_length=length, truncation=True, return_tensors="pt"
            )
        ids: Tensor = found.input_ids
        return ids

    @torch.no_grad()
    def encode_text(self, tokens_CL: Tensor) -> Tensor:
        """(C, L, D) hidden states of token ids."""
        found: Tensor = self.text_encoder(tokens_CL.to(self.alphas.device))[0]
        return found

    @torch.no_grad()
    def encode_image(self, x_BCHW: Tensor) -> Tensor:
        """Latents (the mean of their distribution, scaled) of images in [-1, 1], or the images in three channels."""
        x_BCHW = x_BCHW.expand(-1, 3, -1, -1)
        if self.vae is None:
            return x_BCHW
        vae: Any = self.vae
        latents: Tensor = vae.encode(x_BCHW).latent_dist.mean * vae.config.scaling_factor
        return latents

    def predicted_noise(self, x: Tensor, noise_B: Tensor, t_B: Tensor, text_BLD: Tensor) -> Tensor:
        """(B, …) the noise that the network sees in `x` (…), noised by each `noise_B` to the timestep `t_B`."""
        a_B = self.alphas[t_B].view(-1, *[1] * x.ndim)
        signal_B, spread_B = a_B.sqrt(), (1 - a_B).sqrt()
        noised_B = signal_B * x + spread_B * noise_B
        output: Tensor = self.unet(noised_B, t_B, encoder_hidden_states=text_BLD).sample
        output = output[:, : x.shape[0]]  # what is beyond is a variance, where the network has learned one
        if self.prediction == "epsilon":
            return output
        if self.prediction == "v_prediction":
            return signal_B * output + spread_B * noised_B
        return (noised_B - signal_B * output) / spread_B


def load(name: str, device: torch.device) -> Parts:
    """The parts of the pipeline `name`, from a folder, the cache of the Hugging Face hub, or a download.

    Neither a safety checker nor code beside the weights is loaded.

    Raises:
        BadInput: a library is not installed, a part is missing, cannot be downloaded or read, or is of another kind.
    """
    diffusers, transformers = library("diffusers", "diffusion"), library("transformers", "diffusion")
    get = partial(_part, name)
    logging = diffusers.utils.logging
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        index = get(diffusers.DiffusionPipeline.load_config, "", "list of the parts of a pipeline")
        schedule = get(diffusers.DDPMScheduler.load_config, "scheduler")
        if "beta_schedule" not in schedule:
            raise BadInput(f"the noise schedule {schedule.get('_class_name')} of {name} is not one of alphas and betas")
        kind = (index.get("text_encoder") or ("", "none"))[1]
        if not str(kind).startswith("CLIPTextModel") or (index.get("unet") or ("", ""))[1] != "UNet2DConditionModel":
            raise BadInput(
                f"{name} has the text encoder {kind} and the network {(index.get('unet') or ('', 'none'))[1]}; a "
                "diffusion classifier takes CLIPTextModel and UNet2DConditionModel, as Stable Diffusion 1 and 2 have"
            )
        scheduler = diffusers.DDPMScheduler.from_config(schedule)
        plain = {"low_cpu_mem_usage": False, "torch_dtype": torch.float32}
        vae = (
            get(partial(diffusers.AutoencoderKL.from_pretrained, **plain), "vae")
            if (index.get("vae") or [None])[0]
            else None
        )
        unet = get(partial(diffusers.UNet2DConditionModel.from_pretrained, **plain), "unet")
        text_encoder = get(partial(getattr(transformers, kind).from_pretrained, dtype=torch.float32), "text_encoder")
        tokenizer = get(transformers.CLIPTokenizer.from_pretrained, "tokenizer")
    finally:
        logging.set_verbosity(level)
        logging.enable_progress_bar()
    return Parts(
        _still(unet, device), scheduler.alphas_cumprod.to(device), scheduler.config.prediction_type, tokenizer,
        _still(text_encoder, device), None if vae is None else _still(vae, device),
    )  # fmt: skip


def _part(name: str, fetch: Callable[..., Any], part: str, what: str = "") -> Any:
    """One part of a pipeline.

    Raises:
        BadInput: it is not there; the message says where to put what.
    """
    fetch = partial(fetch, subfolder=part) if part else fetch
    try:
        with silent():
            return hub.found(fetch, name, what or f"part {part} of a pipeline")
    except BadInput as error:
        if Path(name).expanduser().exists():
            raise
        raise BadInput(
            f"{error}; download model_index.json and the folders unet, scheduler, tokenizer, text_encoder and vae from "
            f"https://huggingface.co/{name}, put them into one folder, and name it as model"
        ) from error


def _still(module: nn.Module, device: torch.device) -> nn.Module:
    return module.eval().requires_grad_(False).to(device)
