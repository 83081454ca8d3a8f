"""A folder of records in today's form: schema, place and configurations."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue

from dxbench.api import Method, ResultRecord
from dxbench.errors import UsageError
from dxbench.files.writing import write_text_atomically
from dxbench.plugins import registry
from dxbench.plugins.configure import configure
from dxbench.records.files import Unreadable, config_id_of, record_path, stored_text, work_folder
from dxbench.records.index import list_records, read_placed
from dxbench.records.parts import write_parts


@dataclass(frozen=True, kw_only=True)
class Renamed:
    """A record whose configuration, and with it its run id, was rewritten."""

    old: Path
    new: Path


@dataclass(kw_only=True)
class Migration:
    """The outcome for the records of a folder.

    Attributes:
        current: records that were in today's form already.
        migrated: records that were rewritten, of which `renamed` have another configuration.
        not_installed: why configurations of a method were left as they are, by method.
        problems: files that were left, and why.
    """

    current: int = 0
    migrated: int = 0
    renamed: list[Renamed] = field(default_factory=list)
    not_installed: dict[str, str] = field(default_factory=dict)
    problems: list[Unreadable] = field(default_factory=list)


def migrate_folder(results: Path, *, home: Path, progress: Callable[[str], None]) -> Migration:
    """Rewrite every record of a folder that is not in today's form, one by one; a second time finds nothing to do.

    A file that cannot be believed stays as it is.

    Args:
        home: where runs keep their work, which goes by the run id.
    """
    listing = list_records(results)
    found = Migration(problems=list(listing.problems))
    methods = _Methods()
    for number, file in enumerate(listing.files, 1):
        progress(f"migrating record {number} of {len(listing.files)}")
        record = read_placed(results, file.name)
        if not isinstance(record, Unreadable):
            record = methods.in_todays_form(record, results / file.name)
        if isinstance(record, Unreadable):
            found.problems.append(record)
        else:
            _replace(results, results / file.name, record, home, found)
    found.not_installed = methods.not_installed
    return found


def _replace(results: Path, old: Path, record: ResultRecord, home: Path, found: Migration) -> None:
    """Put a record in the place of the file that it was read from, which goes last: a kill loses none."""
    new, text = record_path(results, record), stored_text(record).encode()
    if new == old and old.read_bytes() == text:
        found.current += 1
        return
    if new != old and new.exists() and new.read_bytes() != text:
        reason = f"would become {new}, which is there with other content; remove one of the two"
        found.problems.append(Unreadable(path=old, reason=reason))
        return
    write_parts(results, record)
    write_text_atomically(new, text.decode())
    found.migrated += 1
    if new != old:
        _move_work(home, record, old.stem)
        old.unlink()
        found.renamed.append(Renamed(old=old, new=new))


def _move_work(home: Path, record: ResultRecord, old_id: str) -> None:
    """Samples and checkpoints of a run go by its id."""
    old, new = (work_folder(home, task=record.task, method=record.method, run_id=i) for i in (old_id, record.run_id))
    if old.is_dir() and not new.exists():
        old.rename(new)


def _overrides(method: type[Method], record: ResultRecord, config: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Overrides that give a configuration in its new form: those of before, where they give it still.

    Else what the configuration has and the preset has not. Where the task or the preset is not here any more, the
    overrides stay as they are.
    """
    if record.task not in registry.plugins("tasks"):
        return record.overrides
    try:
        task = registry.load_task(record.task)
        base = configure(method, task, record.preset, {}).model_dump(mode="json")
    except UsageError:
        return record.overrides
    with suppress(UsageError):
        if configure(method, task, record.preset, record.overrides).model_dump(mode="json") == config:
            return record.overrides
    return _beyond(base, config)


def _beyond(base: Mapping[str, JsonValue], config: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Settings of a configuration that differ from those of another, inside nested ones too."""
    found: dict[str, JsonValue] = {}
    for key, value in config.items():
        before = base.get(key)
        if value != before:
            if isinstance(value, dict) and isinstance(before, dict) and before.get("kind") == value.get("kind"):
                value = _beyond(before, value)
            found[key] = value
    return found


class _Methods:
    """Installed methods, asked what configurations have become."""

    def __init__(self) -> None:
        self.not_installed: dict[str, str] = {}
        self._loaded: dict[str, type[Method] | None] = {}

    def in_todays_form(self, record: ResultRecord, path: Path) -> ResultRecord | Unreadable:
        """A record with its configuration in today's form, where its method is installed."""
        method = self._method(record.method) if record.external is None else None
        if method is None:
            return record
        try:
            config = dict(method.migrate_config(record.config))
            overrides = record.overrides if config == record.config else _overrides(method, record, config)
        except Exception as error:  # code of somebody else, on values of long ago
            reason = f"migrate_config of {record.method} fails: {type(error).__name__}: {error}"
            return Unreadable(path=path, reason=reason)
        changed = record.model_copy(update={"config": config, "overrides": overrides})
        return changed.model_copy(update={"run_id": f"{config_id_of(changed)}-s{changed.seed}"})

    def _method(self, name: str) -> type[Method] | None:
        if name not in self._loaded:
            self._loaded[name] = None
            if name not in registry.plugins("methods"):  # a name in a record loads no file
                self.not_installed[name] = "not installed"
                return None
            try:
                self._loaded[name] = registry.load_method(name)
            except UsageError as error:
                self.not_installed[name] = str(error)
        return self._loaded[name]
