"""Configurations of earlier versions, whose backbone was one table, with settings of their own per kind of data."""

from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue

from dxbench.api import Config

Settings = dict[str, Any]

PRETRAINING = ("iterations", "batch_size", "lr", "ema_decay")
SAMPLERS = {"ddpm": "fastdpm", "ddgan": "ddgan", "adm": "karras", "edm": "karras"}
SAMPLING = ("schedule", "levels", "rho", "last_std")


def complete(kind: type[Config], settings: Mapping[str, Any]) -> dict[str, JsonValue]:
    """Settings of today with all that is left at its default."""
    return kind.model_validate(settings).model_dump(mode="json")


def take(settings: Settings, *names: str, **renamed: str) -> Settings:
    """Remove settings and give them under their names of today, `today=before`."""
    return {
        today: settings.pop(before)
        for today, before in {**{name: name for name in names}, **renamed}.items()
        if before in settings
    }


def of_steps(settings: Settings, *network: str, **renamed: str) -> Settings:
    """The backbone of a network of a few steps, its settings among a method's own."""
    return {"network": {"kind": "steps_mlp", **take(settings, *network, **renamed)}}


def with_start(config: Mapping[str, JsonValue], family: str) -> tuple[Settings, Settings]:
    """A configuration with today's backbone, and the settings that its few-step sampler had in it.

    `family` is that of a small backbone, which did not say its kind.
    """
    settings = dict(config)
    old: Any = settings.get("backbone")
    if old is None or "network" in old:
        return settings, {}
    old = dict(old)
    kind = old.pop("kind", None)
    pretraining = {**take(old, *PRETRAINING), "max_grad_norm": None if kind is None else 1.0}
    weights = old.pop("weights", None)
    sampler = {} if kind is None else {"kind": SAMPLERS[kind], **take(old, *SAMPLING)}
    network = {"kind": f"{family}_mlp" if kind is None else f"{kind}_unet", **old}
    settings["backbone"] = {"network": network, "pretraining": pretraining, "weights": weights}
    if settings.get("init") == "pretrained":
        settings["init"] = "official"
    return settings, sampler
