"""The command ``objects``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.cli import flags, inputs
from napari_unet.cli.answers import say
from napari_unet.config import ObjectConfig

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.prediction.object_stack import ObjectSource


def add_objects(commands: Any) -> None:
    """Add the command ``objects``."""
    parser = flags.command(
        commands,
        "objects",
        _objects,
        "find objects in labels, probabilities or a distance map",
    )
    parser.add_argument(
        "input", type=Path, nargs="+", help="files, patterns, or folders of files"
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder, or a .tif for one input"
    )
    parser.add_argument(
        "--inside",
        metavar="CLASS",
        help="what becomes objects: a value of labels, or the name or number (from 0) "
        "of a channel of probabilities (default: the pieces of each value above 0, or "
        "what is called foreground)",
    )
    parser.add_argument(
        "--border",
        metavar="CLASS",
        help="what lies between objects, over which they grow; rest: all that is not "
        "inside, such as membranes",
    )
    flags.add_overwrite(parser, "replace results that exist")
    flags.add_as_stack(parser)
    flags.add_image_flags(parser)
    flags.add_options(parser, ObjectConfig)
    flags.add_output_flags(parser)


def _objects(given: argparse.Namespace) -> int:
    from napari_unet.data.matching import is_several, list_files

    config = ObjectConfig.from_dict(flags.chosen(given, ObjectConfig))
    files = [
        file
        for path in given.input
        for file in (
            list_files(path) if is_several(path) and not given.as_stack else [path]
        )
    ]
    outputs = _outputs(given, files)
    for path, out in zip(files, outputs, strict=True):
        _find_in_one(given, config, path, out)
    return 0


def _outputs(given: argparse.Namespace, files: list[Path]) -> list[Path]:
    from napari_unet.data.read.tiff import name_in_store
    from napari_unet.errors import ConfigError
    from napari_unet.prediction.results import find_tiffs

    outputs = [
        find_tiffs(name_in_store(path), given.out, ["objects"])["objects"]
        for path in files
    ]
    if len(set(outputs)) < len(outputs):
        raise ConfigError(
            "Several files would be written to one: give a folder as --out, and files "
            "of different names."
        )
    return outputs


def _find_in_one(
    given: argparse.Namespace, config: ObjectConfig, path: Path, out: Path
) -> None:
    from napari_unet.data.write.stack import write_stack
    from napari_unet.prediction.object_stack import axes_of, source_of
    from napari_unet.prediction.results import check_free

    stack = inputs.open_one(path, given, axes=given.axes)
    check_free([out], stack, overwrite=given.overwrite)
    source = source_of(stack, given.inside, given.border)
    axes, shape = axes_of(stack, config)
    write_stack(
        out,
        _sections(source, config),
        shape=shape,
        axes=axes,
        dtype="int32",
        pixel_size={axis: n for axis, n in stack.pixel_size.items() if axis in axes},
        unit=stack.unit,
        overwrite=given.overwrite,
    )
    say(given, str(out))


def _sections(
    source: ObjectSource, config: ObjectConfig
) -> Iterator[NDArray[np.int32]]:
    for part in source.parts(config):
        yield from part.reshape(-1, *part.shape[-2:])
