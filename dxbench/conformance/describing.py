"""Checks of who the method says it is, and of what can be set."""

import inspect

from pydantic import BaseModel

from dxbench.api import Config
from dxbench.conformance.subject import Broken, Subject


def check_identity(subject: Subject) -> None:
    method = subject.method
    name, version = getattr(method, "name", None), getattr(method, "version", None)
    if not isinstance(name, str) or not name.isidentifier():
        raise Broken(f"name is {name!r}, wanted letters, digits and underscores")
    if not isinstance(version, int) or version < 1:
        raise Broken(f"version is {version!r}, wanted a whole number from 1")
    if not inspect.getdoc(method) or method.__doc__ is None:
        raise Broken("the class has no docstring; its first line is shown by `dxbench list methods`")
    config = getattr(method, "Config", None)
    if not (isinstance(config, type) and issubclass(config, BaseModel)):
        raise Broken(f"Config is {config!r}, wanted a subclass of dxbench.api.Config")


def check_config(subject: Subject) -> None:
    kind = type(subject.config)
    if not issubclass(kind, Config):
        raise Broken(f"{kind.__name__} does not derive from dxbench.api.Config")
    for key, wanted in (("frozen", True), ("extra", "forbid")):
        if kind.model_config.get(key) != wanted:
            raise Broken(f"model_config[{key!r}] is {kind.model_config.get(key)!r}, wanted {wanted!r}")
    before = subject.config.model_dump_json()
    if kind.model_validate_json(before) != subject.config:
        raise Broken("the configuration read back from its JSON is another")
    try:
        training, _ = subject.fresh()
        subject.advance(training, subject.steps_of(training))
    except Exception:  # what is wrong there is told by `training`
        return
    after = subject.config.model_dump_json()
    if after != before:
        raise Broken(f"training changed the configuration from {before} to {after}")
