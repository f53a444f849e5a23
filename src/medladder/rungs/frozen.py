"""A frozen network, opened from an ONNX file or a Hugging Face folder, tried at once, then asked for features.

Opening runs no code from the backbone's folder and asks no network.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Num

from medladder.backbones import PREPROCESSOR, files_of, read_json
from medladder.errors import OptionError
from medladder.rungs.draws import in_unit_range

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
DEFAULT_SIDE = 224
BATCH = 32
MOST_SLICES = 9

_OUTPUTS = ("pooler_output", "last_hidden_state")

Outputs = Mapping[str, Num[np.ndarray, "image ..."]]
Run = Callable[[Float[np.ndarray, "image channel row column"]], Outputs]


@dataclass(frozen=True, eq=False)
class FrozenNetwork:
    """A network that turns images into vectors, each from its own image alone."""

    name: str
    side: int
    """Rows and columns of its input."""
    mean: Float[np.ndarray, "3 1 1"]
    std: Float[np.ndarray, "3 1 1"]
    batch: int
    """Most images it takes at once."""
    run: Run
    module: Any = None
    """The torch module behind it, where there is one."""

    def features(self, images: Num[np.ndarray, "image *shape"]) -> Float[np.ndarray, "image feature"]:
        """Features of each image, float32; of a volume, their mean over slices of its middle third.

        Raises
        ------
        OptionError
            Images with other than 1 or 3 channels, or features that are not numbers.
        """
        if images.ndim == 5:
            n_slices = images.shape[1]
            seen = np.unique(np.linspace(n_slices // 3, n_slices - 1 - n_slices // 3, MOST_SLICES).round().astype(int))
            return np.stack([self.features(images[:, place]) for place in seen]).mean(axis=0)
        starts = range(0, len(images), self.batch)
        return np.concatenate([self._describe(images[start : start + self.batch]) for start in starts])

    def _describe(self, images: Num[np.ndarray, "image *shape"]) -> Float[np.ndarray, "image feature"]:
        pixels = _as_colour(images)
        return self.answer(((resized(pixels, self.side) - self.mean) / self.std).astype(np.float32))

    def answer(self, pixels: Float[np.ndarray, "image channel row column"]) -> Float[np.ndarray, "image feature"]:
        """Features from pixels as the network wants them."""
        features = pool(self.run(pixels), self.name)
        if len(features) != len(pixels) or not np.isfinite(features).all():
            raise _unfit(self.name, "gives features that are not numbers, or not one vector an image")
        return features


def open_network(path: str | Path, input_size: int | None = None) -> FrozenNetwork:
    """Open a backbone and try it on two images.

    Raises
    ------
    OptionError
        It cannot be opened, wants another input than a batch of colour images, gives no vector an image, gives
        something that is not a number, or lets one image change another's features.
    """
    stamp = tuple((str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files_of(Path(path)))
    return _opened(Path(path), input_size, stamp)


@lru_cache(maxsize=1)  # a worker describes many stretches of one cohort with one backbone
def _opened(path: Path, input_size: int | None, stamp: object) -> FrozenNetwork:  # noqa: ARG001 - part of the key
    network = (_open_folder if path.is_dir() else _open_onnx)(path, input_size)
    _try(network)
    return network


def pool(outputs: Outputs, name: str) -> Float[np.ndarray, "image feature"]:
    """One vector an image: the pooled output if there is one, else the hidden state, else the only output.

    A sequence gives its first token and the mean of the others side by side, a map its mean over rows and columns.

    Source
    ------
    First token beside mean token: Oquab et al. 2024, arXiv 2304.07193, linear evaluation.
    """
    wanted = next((output for output in (*_OUTPUTS, *outputs) if output in outputs), None)
    if wanted is None or (wanted not in _OUTPUTS and len(outputs) > 1):
        found = f"has {len(outputs)} outputs ({', '.join(outputs)}) and none of them is called {' or '.join(_OUTPUTS)}"
        raise _unfit(name, found)
    values = np.asarray(outputs[wanted], dtype=np.float32)
    if values.ndim == 4:
        return values.mean(axis=(2, 3))
    if values.ndim == 3:
        tokens = values.shape[1]
        return values[:, 0] if tokens == 1 else np.hstack([values[:, 0], values[:, 1:].mean(axis=1)])
    if values.ndim != 2:
        raise _unfit(name, f"gives an output with {values.ndim} axes")
    return values


def _open_onnx(path: Path, input_size: int | None) -> FrozenNetwork:
    runtime = _imported("onnxruntime")
    options = runtime.SessionOptions()
    # One thread a worker: cores are filled with workers side by side.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors share no base
        raise _unfit(path.name, f"cannot be opened as ONNX ({_first_line(error)})") from error
    fixed_batch, fixed_side = _read_input(session, path.name)
    names = [output.name for output in session.get_outputs()]
    given = session.get_inputs()[0].name

    def run(pixels: Float[np.ndarray, "image channel row column"]) -> Outputs:
        return dict(zip(names, session.run(names, {given: pixels}), strict=True))

    if fixed_side and input_size not in (None, fixed_side):
        raise _unfit(path.name, f"takes images of {fixed_side}×{fixed_side} only, not input_size={input_size}")
    side, mean, std = _read_intake(path.parent)
    return FrozenNetwork(
        path.name, input_size or fixed_side or side or DEFAULT_SIDE, mean, std, fixed_batch or BATCH, run
    )


def _read_input(session: Any, name: str) -> tuple[int | None, int | None]:
    """Batch and side if the graph fixes them, from its one input."""
    inputs = session.get_inputs()
    if len(inputs) != 1:
        raise _unfit(name, f"has {len(inputs)} inputs ({', '.join(i.name for i in inputs)})")
    shape = [size if isinstance(size, int) and size > 0 else None for size in inputs[0].shape]
    said = "×".join("?" if size is None else str(size) for size in shape)
    if inputs[0].type != "tensor(float)" or len(shape) != 4 or shape[1] not in (None, 3):
        raise _unfit(name, f"takes {inputs[0].type} of {said or 'no axes'}")
    if shape[0] not in (None, 1) or shape[2] != shape[3]:
        raise _unfit(name, f"takes batches of {said}")
    return shape[0], shape[2]


def _open_folder(path: Path, input_size: int | None) -> FrozenNetwork:
    transformers, torch = _imported("transformers"), _imported("torch")
    try:
        with _quiet(transformers):
            model, report = transformers.AutoModel.from_pretrained(
                str(path),
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
                dtype=torch.float32,
            )
    except Exception as error:  # its errors share no base
        raise _unfit(path.name, f"cannot be opened by transformers ({_first_line(error)})") from error
    # What the file lacks is drawn at random. A classifier's checkpoint lacks the pooler; anything else spoils features.
    lacking = sorted(report["missing_keys"]) + sorted(map(str, report["mismatched_keys"]))
    if spoilt := [key for key in lacking if "pooler" not in key.split(".")]:
        raise _unfit(path.name, f"lacks {len(spoilt)} of its weights, such as {spoilt[0]}")
    model.eval().requires_grad_(False)

    def run(pixels: Float[np.ndarray, "image channel row column"]) -> Outputs:
        with torch.inference_mode():
            outputs = model(pixel_values=torch.from_numpy(pixels))
        tensors = {name: value for name, value in outputs.items() if isinstance(value, torch.Tensor)}
        return {name: value.numpy() for name, value in tensors.items() if not (lacking and name == "pooler_output")}

    side, mean, std = _read_intake(path)
    side = input_size or side or _side_in(model.config.to_dict().get("image_size")) or DEFAULT_SIDE
    return FrozenNetwork(path.name, side, mean, std, BATCH, run, model)


def _read_intake(
    folder: Path,
) -> tuple[int | None, Float[np.ndarray, "3 1 1"], Float[np.ndarray, "3 1 1"]]:
    """Side, mean and deviation for pixels in 0–1: what the backbone's folder says, else ImageNet's."""
    said = read_json(folder / PREPROCESSOR) if (folder / PREPROCESSOR).is_file() else {}
    try:
        factor = 255 * float(said.get("rescale_factor", 1 / 255)) if said.get("do_rescale", True) else 255.0  # type: ignore[arg-type]
        mean, std = (
            np.broadcast_to(np.asarray(said.get(name, default), np.float64), 3).reshape(3, 1, 1)
            if said.get("do_normalize", True)
            else np.full((3, 1, 1), float(name == "image_std"))
            for name, default in (("image_mean", IMAGENET_MEAN), ("image_std", IMAGENET_STD))
        )
    except (TypeError, ValueError) as error:
        raise _unfit(folder.name, f"has a {PREPROCESSOR} with a mean or deviation that is no colour") from error
    if not (factor > 0 and (std > 0).all()):
        raise _unfit(folder.name, f"has a {PREPROCESSOR} with a deviation or a scale that is not above 0")
    side = _side_in(said.get("crop_size" if said.get("do_center_crop") else "size"))
    return side, mean / factor, std / factor


def _side_in(size: object) -> int | None:
    """The side of a square input as configurations write it: a number, a pair, or a mapping."""
    if isinstance(size, Mapping):
        sides = {size[name] for name in ("height", "width", "shortest_edge") if name in size}
    else:
        sides = set(size) if isinstance(size, list | tuple) else {size}
    side = sides.pop() if len(sides) == 1 else None
    return side if isinstance(side, int) and side > 0 else None


def _as_colour(images: Num[np.ndarray, "image *shape"]) -> Float[np.ndarray, "image channel row column"]:
    """Pixels of 0–1 with three channels first; a grey one is repeated."""
    pixels = in_unit_range(images).astype(np.float32, copy=False)
    if pixels.ndim == 3:
        pixels = pixels[..., None]
    if pixels.ndim != 4 or pixels.shape[-1] not in (1, 3):
        raise OptionError(
            found=f"Images of {'×'.join(map(str, images.shape[1:]))}.",
            needed="Grey or colour images, or volumes of them: a pretrained backbone knows 1 or 3 channels.",
            do="Leave the rung pretrained out.",
        )
    return np.moveaxis(np.broadcast_to(pixels, (*pixels.shape[:3], 3)), 3, 1)


def resized(
    pixels: Float[np.ndarray, "image channel row column"], side: int
) -> Float[np.ndarray, "image channel side side"]:
    """The whole image at the network's size, bilinear and antialiased: nothing is cropped, whatever its shape."""
    if pixels.shape[2:] == (side, side):
        return pixels
    import torch
    from torch.nn.functional import interpolate

    tensor = torch.from_numpy(np.ascontiguousarray(pixels))
    return interpolate(tensor, (side, side), mode="bilinear", antialias=True, align_corners=False).numpy()


def _try(network: FrozenNetwork) -> None:
    """Ask for two images at once and for one alone: features must be numbers that no other image changes."""
    pixels = np.random.default_rng(0).standard_normal((2, 3, network.side, network.side)).astype(np.float32)
    try:
        alone = network.answer(pixels[1:])
        among = network.answer(pixels)[1:] if network.batch > 1 else network.answer(pixels[1:])
    except OptionError:
        raise
    except Exception as error:  # whatever the runtime raises
        found = f"cannot describe images of {network.side}×{network.side} ({_first_line(error)})"
        raise _unfit(network.name, found) from error
    if not np.allclose(alone, among, rtol=1e-3, atol=1e-3 * max(float(np.abs(alone).max()), 1e-6)):
        raise _unfit(network.name, "answers by chance, or changes an image's features with the images beside it")


def _unfit(name: str, found: str) -> OptionError:
    return OptionError(
        found=f"The backbone {name} {found}.",
        needed="One input, a batch of square images with 3 channels first as float32, and one vector, token sequence "
        "or map an image, in inference mode.",
        do="Export it so, or use another.",
    )


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise OptionError(
            found=f"The package {name} is not installed.",
            needed=f"{name}, to open this backbone.",
            do="Install it with: pip install 'medladder[pretrained]'.",
        ) from error


def _first_line(error: Exception) -> str:
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text[:200]}"


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Progress bars and loading reports belong to no one who asked for a study."""
    logging = transformers.logging
    before, had_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if had_bar:
            logging.enable_progress_bar()
