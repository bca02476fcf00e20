"""CLIP and its like: the class whose text is nearest to the image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evenhand import encoders
from evenhand.batch import Batch
from evenhand.data._base import digest
from evenhand.encoders._normalise import Normalise
from evenhand.encoders._weights import SUFFIXES
from evenhand.errors import BadInput, unknown
from evenhand.inputs import hub
from evenhand.zeroshot._base import Classifier, ZeroShot, first_line, library, silent
from evenhand.zeroshot._images import fitted
from evenhand.zeroshot._prompts import PHOTO, check_distinct, prompt

HUB = "hf-hub:"
CONFIG = "open_clip_config.json"
FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")  # of weights in a repository of the hub
LOOKS = ("mean", "std", "interpolation", "resize_mode")
TEXTS_AT_ONCE = 256

Tokenizer = Callable[[list[str]], Tensor]


@dataclass(frozen=True, kw_only=True)
class CLIP(ZeroShot):
    """Zero-shot prediction by any model of open_clip: logits are its logit scale times the cosine of image and class.

    Radford et al. (2021), Learning transferable visual models from natural language supervision, Section 3.1;
    Ilharco et al. (2021), OpenCLIP.

        text_CD = normalise(mean over templates of normalise(encode_text(prompts)))
        logits_BC = exp(logit_scale) * normalise(encode_image(x)) @ text_CD.T + logit_bias (of SigLIP, else none)

    Attributes:
        model: an architecture of open_clip such as `ViT-B-32`, `hf-hub:OWNER/NAME`, or a folder with
            `open_clip_config.json` and weights. OpenAI's own weights in a file need the one that ends in `-quickgelu`.
        weights: of an architecture: the name of published ones such as `laion2b_s34b_b79k`, or the path of a file.
        published_as: of a file: the name of the published weights that it holds, whose normalisation, way to resize and
            activation are taken; needed only where those published for the architecture differ in it.
    """

    usual_batch_size: ClassVar[int] = 64

    weights: str = ""
    published_as: str = ""

    def identified(self) -> dict[str, str]:
        found, config = encoders.digest(self.weights or self.model), Path(self.model).expanduser() / CONFIG
        if found and not self.weights and config.is_file():
            found = digest(found, config.read_bytes())
        return {"weights_sha256": found} if found else {}

    def classifier(self, device: torch.device, batch_size: int, seed: int) -> Classifier:
        model, tokenizer = load(self.model, self.weights, self.published_as)
        return CLIPClassifier(model.to(device), tokenizer, self.class_names, self.templates)


class CLIPClassifier(nn.Module):
    """A model of open_clip with the texts of the classes encoded once.

    Args:
        model: built by open_clip, with its weights, on the device where it is to work.
        tokenizer: texts to (number of texts, L) token ids.
        class_names: C names, put into each of the templates.

    Raises:
        BadInput: the tokenizer cannot tell two classes apart.
    """

    text_CD: Tensor  # noqa: N815

    def __init__(
        self, model: nn.Module, tokenizer: Tokenizer, class_names: Sequence[str], templates: Sequence[str] = (PHOTO,)
    ) -> None:
        super().__init__()
        self.model: Any = model.eval().requires_grad_(False)
        self.preparation = preparation(model)
        self.normalise = Normalise(*(_three(self.preparation[key]) for key in ("mean", "std")))
        self.register_buffer("text_CD", self._encoded(tokenizer, class_names, templates))
        self.normalise.to(self.text_CD.device)

    @property
    def n_classes(self) -> int:
        return len(self.text_CD)

    @torch.no_grad()
    def _encoded(self, tokenizer: Tokenizer, class_names: Sequence[str], templates: Sequence[str]) -> Tensor:
        """(C, D) unit vectors: the directions of the mean over templates of each prompt's unit vector."""
        with silent():  # of the tokenizer
            tokens_TCL = torch.stack(
                [tokenizer([prompt(template, name) for name in class_names]) for template in templates]
            )
        check_distinct(tokens_TCL.transpose(0, 1).flatten(1), class_names)
        device = next(self.model.parameters()).device
        chunks = torch.split(tokens_TCL.flatten(0, 1), TEXTS_AT_ONCE)
        text_PD = torch.cat([self.model.encode_text(chunk.to(device), normalize=True) for chunk in chunks])
        return F.normalize(text_PD.view(*tokens_TCL.shape[:2], -1).mean(0), dim=-1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B, C) logits of images in [-1, 1] of any size; grey ones are taken as three equal channels."""
        kind = self.preparation
        size = (kind["size"],) * 2 if isinstance(kind["size"], int) else tuple(kind["size"])
        fill = kind["fill_color"] / 127.5 - 1
        sized = fitted(x_BCHW, size, kind["resize_mode"], _filter(kind["interpolation"]), fill)
        image_BD = self.model.encode_image(self.normalise(sized), normalize=True)
        logits_BC: Tensor = self.model.logit_scale.exp() * image_BD @ self.text_CD.T
        bias = getattr(self.model, "logit_bias", None)
        return logits_BC if bias is None else logits_BC + bias

    def logits(self, batch: Batch) -> Tensor:
        """(B, C) logits of the images of a batch."""
        found: Tensor = self(batch.x)
        return found


def preparation(model: nn.Module) -> dict[str, Any]:
    """How images are prepared for a model of open_clip: size, mean, std, interpolation, resize_mode, fill_color."""
    library_ = library("open_clip", "clip")
    usual = asdict(library_.transform.PreprocessCfg())
    return {**usual, **library_.get_model_preprocess_cfg(model)}


def _three(value: float | Sequence[float]) -> Sequence[float]:
    return (value,) * 3 if isinstance(value, int | float) else value


def _filter(interpolation: str) -> Any:
    return "bilinear" if interpolation == "bilinear" else "bicubic"


# --- weights ---


def load(model: str, weights: str = "", published_as: str = "") -> tuple[nn.Module, Tokenizer]:
    """A model of open_clip with its weights, on the CPU, and its tokenizer; see `CLIP` for the arguments.

    Raises:
        BadInput: open_clip is not installed, or model, weights or tokenizer are not there, cannot be downloaded, or do
            not fit each other; the message says what to put where.
    """
    open_clip = library("open_clip", "clip")
    folder = Path(model).expanduser()
    is_folder = folder.is_dir() and model not in open_clip.list_models()
    if (is_folder or model.startswith(HUB)) and (weights or published_as):
        raise BadInput(f"the model {model} comes with its own weights, got weights {weights or published_as!r} too")
    options: dict[str, Any] = {"require_pretrained": True}
    if is_folder:
        if not (folder / CONFIG).is_file():
            raise BadInput(f"the folder {folder} holds no {CONFIG}, as a folder with a model of open_clip does")
        name, wanted = f"local-dir:{folder}", f"the model in the folder {folder}"
    elif model.startswith(HUB):
        name, wanted = model, f"the model {model}"
    else:
        options |= _named(open_clip, model, weights, published_as)
        name, wanted = model, f"the weights {weights} of {model}"
    try:
        with silent():
            _check_reachable(open_clip, model, weights)
            return open_clip.create_model(name, **options), open_clip.get_tokenizer(name)
    except Exception as error:  # of sockets, HTTP, the disk, the file, or weights of another network
        raise BadInput(
            f"{wanted} cannot be loaded ({first_line(error)}){_advice(open_clip, model, weights)}"
        ) from error


def _named(open_clip: ModuleType, model: str, weights: str, published_as: str) -> dict[str, Any]:
    """What open_clip is told of an architecture's weights.

    Raises:
        BadInput: no such architecture, no such weights, or a file of which it is not clear what images it expects.
    """
    if model not in open_clip.list_models():
        raise unknown("model of open_clip", model, open_clip.list_models())
    tags = open_clip.list_pretrained_tags_by_model(model)
    if not weights:
        raise BadInput(f"clip needs the option weights: a file, or what is published for {model}: {', '.join(tags)}")
    path = Path(weights).expanduser()
    tag = weights if weights in tags else published_as
    if weights not in tags and not path.is_file():
        if path.suffix in (*SUFFIXES, ".npz") or len(path.parts) > 1:
            raise BadInput(f"there is no file of weights {path}")
        raise unknown(f"weights of {model}", weights, tags)
    if published_as and weights in tags:
        raise BadInput(f"published_as says what a file of weights holds, but {weights} is no file")
    if published_as and published_as not in tags:
        raise unknown(f"weights of {model}", published_as, tags)
    if weights in tags:
        like = open_clip.get_pretrained_cfg(model, tag)
        return {"pretrained": weights, "force_quick_gelu": bool(like.get("quick_gelu"))}
    like = open_clip.get_pretrained_cfg(model, tag) if tag else _shared(open_clip, model, tags, path)
    looks = {key: like[key] for key in LOOKS if like.get(key) is not None}
    quick = bool(tag and like.get("quick_gelu"))
    return {"pretrained": str(path), "force_preprocess_cfg": looks, "force_quick_gelu": quick}


def _shared(open_clip: ModuleType, model: str, tags: Sequence[str], path: Path) -> dict[str, Any]:
    """What all weights that are published for an architecture expect of images; nothing where none are.

    Raises:
        BadInput: they differ.
    """
    found = [open_clip.get_pretrained_cfg(model, tag) for tag in tags]
    if any(one.get(key) != found[0].get(key) for one in found for key in LOOKS):
        raise BadInput(
            f"weights that are published for {model} expect images normalised in different ways; say by published_as "
            f"which of them {path} holds: {', '.join(tags)}"
        )
    return found[0] if found else {}


def _repository(open_clip: ModuleType, model: str, weights: str) -> tuple[str, str]:
    """The repository of the hub that holds the weights, and the name of their file there if it is its own."""
    if model.startswith(HUB):
        return model.removeprefix(HUB), ""
    place: str = (open_clip.get_pretrained_cfg(model, weights) or {}).get("hf_hub", "")
    repository, _, file = place.rpartition("/")
    return repository, file


def _check_reachable(open_clip: ModuleType, model: str, weights: str) -> None:
    """Raise ConnectionError at once where open_clip would try for a minute to reach the hub."""
    from huggingface_hub import try_to_load_from_cache

    repository, file = _repository(open_clip, model, weights)
    names = [file] if file else FILES
    if repository and not any(isinstance(try_to_load_from_cache(repository, name), str) for name in names):  # noqa: SIM102
        if not hub.reachable():
            raise ConnectionError("they are not on this machine, and the Hugging Face hub cannot be reached")


def _advice(open_clip: ModuleType, model: str, weights: str) -> str:
    """Where the weights are published and what to do with them; nothing for what is on this machine."""
    repository, file = _repository(open_clip, model, weights)
    if repository:
        address, files = f"https://huggingface.co/{repository}", file or " or ".join(FILES)
    else:
        address = (open_clip.get_pretrained_cfg(model, weights) or {}).get("url", "")
        files = "the file"
    if not address:
        return ""
    if model.startswith(HUB):
        return f"; download {CONFIG} and {files} from {address}, put them into a folder, and name it as model"
    return (
        f"; download {files} from {address}, put it anywhere, and name its path as weights with published_as={weights}"
    )
