"""A trained network and all that is needed to use it, in one file.

The file is in the safetensors format: weights and a JSON text. Reading it runs no
code.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.config import NetworkConfig
from napari_unet.data.masks.find import Classes
from napari_unet.data.masks.scale import Scale
from napari_unet.errors import ModelError, UNetError
from napari_unet.files import replacing

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

MODEL_FILE = "model.safetensors"
THUMBNAIL_FILE = "thumbnail.png"
FORMAT = "napari-unet-lab model 1"


@dataclass
class Model:
    """A network with the classes it knows and the image scale it was trained at.

    Attributes
    ----------
    network : torch.nn.Module
        In evaluation mode, on the CPU, in float32.
    config : NetworkConfig
    classes : Classes or None
        How class indices map to mask values; None where values are predicted.
    pixel_size : dict of str to float
        Pixel size of the training image along each known axis, in `unit`.
    unit : str or None
    name : str
    history : dict
        How it came to be: options, data, scores, versions.
    scale : Scale or None
        Of the values that a network trained by regression predicts.
    """

    network: torch.nn.Module
    config: NetworkConfig
    classes: Classes | None
    pixel_size: dict[str, float] = field(default_factory=dict)
    unit: str | None = None
    name: str = ""
    history: dict[str, Any] = field(default_factory=dict)
    scale: Scale | None = None

    @property
    def target(self) -> Classes | Scale:
        """What it predicts: its classes, or the scale of its values."""
        target = self.classes or self.scale
        assert target is not None
        return target

    @property
    def regresses(self) -> bool:
        """Whether it predicts values instead of classes."""
        return self.classes is None

    def save(self, path: str | Path) -> Path:
        """Write the model to `path`, whole or not at all.

        Parameters
        ----------
        path : str or Path
            Ends in ``.safetensors``.

        Returns
        -------
        Path
        """
        from safetensors.torch import save_file

        path = Path(path)
        if path.suffix != ".safetensors":
            raise ModelError(f"{path.name}: a model file's name ends in .safetensors.")
        weights = {
            name: tensor.detach().cpu().contiguous()
            for name, tensor in self.network.state_dict().items()
        }
        metadata = {"format": FORMAT, "model": json.dumps(self.info())}
        with replacing(path) as part:
            save_file(weights, part, metadata)
        return path

    @classmethod
    def load(cls, path: str | Path) -> Model:
        """Read a model from its file, or from the run folder that holds it.

        Raises
        ------
        ModelError
            If there is none, or the file is damaged or of another kind.
        """
        import torch
        from safetensors.torch import load_file

        from napari_unet.networks import build_network

        path = find_model(path)
        info = read_info(path)
        try:
            config = NetworkConfig.from_dict(info["network"])
            classes, scale = _target(info)
            outputs = classes.n if classes else 1
            if outputs != config.classes:
                raise ModelError(
                    f"{outputs} mask values for a network of {config.classes} classes"
                )
            with torch.random.fork_rng(devices=[]):
                network = build_network(config)
            network.load_state_dict(load_file(path))
        except (UNetError, KeyError, TypeError, RuntimeError, OSError) as error:
            raise ModelError(f"{path}: the model is damaged ({error}).") from error
        return cls(
            network.eval(),
            config,
            classes,
            pixel_size=info.get("pixel_size", {}),
            unit=info.get("unit"),
            name=info.get("name", path.stem),
            history=info.get("history", {}),
            scale=scale,
        )

    def info(self) -> dict[str, Any]:
        """Describe the model in plain values: what it expects, gives and comes from.

        It is ``exact`` when tiles equal the whole image.
        """
        from napari_unet.networks import measure_geometry

        return {
            "name": self.name,
            "network": self.config.to_dict(),
            "exact": measure_geometry(self.config).exact,
            "classes": self.classes.to_dict() if self.classes else None,
            **({"scale": self.scale.to_dict()} if self.scale else {}),
            "pixel_size": dict(self.pixel_size),
            "unit": self.unit,
            "normalisation": "mean and standard deviation of each channel of the image",
            "history": self.history,
        }


def _target(info: dict[str, Any]) -> tuple[Classes | None, Scale | None]:
    if info["classes"] is None:
        return None, Scale.from_dict(info["scale"])
    return Classes.from_dict(info["classes"]), None


def find_model(path: str | Path) -> Path:
    """Return the model file that `path` names: itself, or the one of a run folder.

    Raises
    ------
    ModelError
        If there is none.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        if not (path / MODEL_FILE).is_file():
            raise ModelError(
                f"{path} holds no {MODEL_FILE}: give a run folder whose training has "
                "come to its first validation, or a .safetensors file."
            )
        return path / MODEL_FILE
    if not path.is_file():
        raise ModelError(
            f"{path} does not exist: give a run folder or a .safetensors file."
        )
    return path


def read_info(path: str | Path) -> dict[str, Any]:
    """Read `Model.info` from a model file or run folder, without its weights or torch.

    Raises
    ------
    ModelError
        If it is not a model of this program.
    """
    from safetensors import SafetensorError, safe_open

    path = find_model(path)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata: Mapping[str, str] = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{path} is not a model file, or a damaged one ({error})."
        ) from error
    if metadata.get("format") != FORMAT:
        raise ModelError(
            f"{path} is a safetensors file, but its format is "
            f"{metadata.get('format')!r}, not {FORMAT!r}: it was not written by this "
            "program, or by a newer one."
        )
    try:
        info = json.loads(metadata["model"])
    except (KeyError, ValueError) as error:
        raise ModelError(f"{path}: the model is damaged ({error!r}).") from error
    described = isinstance(info, dict) and isinstance(info.get("network"), dict)
    if not described or not ("classes" in info or "scale" in info):
        raise ModelError(f"{path}: the model is damaged (it describes no network).")
    return {"classes": None, **info}
