"""A pipeline folder of Hugging Face diffusers as a model: weights are safetensors, and no code of it is executed."""

import importlib
import io
import json
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import torch
from pydantic import JsonValue
from torch import Tensor, nn

from dxbench.api import Model
from dxbench.errors import InvalidFile, MissingData, UsageError
from dxbench.files.reading import read_regular

INDEX = "model_index.json"
ABSENT = "diffusers is not installed here; `pip install 'dxmi-bench[diffusers]'` installs it"
WRITE_ONE = "write a sampler file in its place, docs/your-samples.md shows one"
_LIMIT = 2**20
"""Bytes of the index of a pipeline, which has some hundred."""
_CODE = (".py", ".pyc", ".so")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".msgpack", ".h5")


def is_pipeline(place: Path) -> bool:
    """True for a folder that names the parts of a pipeline."""
    return (place / INDEX).is_file()


def pipeline_model(folder: Path, settings: Mapping[str, JsonValue], *, device: str, num_classes: int | None) -> Model:
    """The model of a pipeline without conditions; its networks' passes can be counted.

    Sample i has a generator of its own, seeded with seeds[i].

    Args:
        settings: arguments of the pipeline's call, such as `num_inference_steps`.

    Raises:
        InvalidFile: for a folder that holds code or pickles, or names parts that diffusers does not have.
        UsageError: for a task with classes.
        MissingData: if diffusers is not installed.
    """
    kind = _checked(folder)
    if num_classes is not None:
        raise UsageError(f"{folder} draws without classes, and the task has {num_classes}; {WRITE_ONE}")
    try:
        made = _class(folder, kind)
        with redirect_stderr(io.StringIO()):  # a progress bar, which loading offers no option against
            pipeline = made.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, trust_remote_code=False, low_cpu_mem_usage=False
            )
    except (OSError, ValueError, TypeError, KeyError, RuntimeError) as error:
        raise InvalidFile(f"{folder} cannot be loaded as a {kind}: {error}") from None
    pipeline.to(device)
    pipeline.set_progress_bar_config(disable=True)

    def sampler(seeds: Tensor) -> Tensor:
        generators = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
        asked: dict[str, Any] = {"batch_size": len(seeds), "generator": generators, "output_type": "np", **settings}
        try:
            images = torch.from_numpy(pipeline(**asked).images)
        except TypeError as error:
            raise UsageError(f"{kind} of {folder} does not take {', '.join(asked)} ({error}); {WRITE_ONE}") from None
        return 2 * images.permute(0, 3, 1, 2) - 1

    networks = [part for part in pipeline.components.values() if isinstance(part, nn.Module)]
    return Model(networks=networks, sampler=sampler)


def _checked(folder: Path) -> str:
    """The class of a pipeline whose folder holds weights as safetensors, settings, and nothing else that is loaded.

    Raises:
        InvalidFile: naming what is there.
    """
    for path in sorted(folder.rglob("*")):
        if path.suffix in _CODE:
            raise InvalidFile(f"{path} is code, and none of a folder is executed; {WRITE_ONE}")
        if path.suffix in _PICKLES:
            raise InvalidFile(f"{path} may be a pickle, which runs code when read; save the pipeline as safetensors")
    try:
        index = json.loads(read_regular(folder / INDEX, limit=_LIMIT))
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidFile(f"{folder / INDEX} is not readable as JSON ({error})") from None
    for name, library, kind in _parts(index):
        if library != "diffusers":
            raise InvalidFile(f"{folder / INDEX}: {name} is {kind!r} of {library!r}, wanted a part of diffusers")
    kind = index.get("_class_name") if isinstance(index, dict) else None
    if not isinstance(kind, str):
        raise InvalidFile(f"{folder / INDEX}: _class_name is {kind!r}, wanted the name of a pipeline of diffusers")
    return kind


def _parts(index: Any) -> Iterator[tuple[str, Any, Any]]:
    """Name, library and class of each part of a pipeline; those that are left out are [null, null]."""
    for name, part in index.items() if isinstance(index, dict) else ():
        if isinstance(part, list) and part != [None, None]:
            library, kind = part if len(part) == 2 else (part, None)
            yield name, library, kind


def _class(folder: Path, name: str) -> Any:
    """The class of a pipeline, of diffusers itself.

    Raises:
        MissingData: if diffusers is not installed.
        InvalidFile: if it has no such pipeline.
    """
    try:
        diffusers = importlib.import_module("diffusers")
    except ImportError as error:
        raise MissingData(f"{folder} is a pipeline, and {ABSENT} ({error})") from None
    found = getattr(diffusers, name, None)
    if not (isinstance(found, type) and issubclass(found, diffusers.DiffusionPipeline)):
        raise InvalidFile(f"{folder / INDEX}: {name!r} is no pipeline of diffusers {diffusers.__version__}")
    return found
