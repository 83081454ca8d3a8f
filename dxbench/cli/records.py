"""`dxbench records migrate`, `prune`, `draw`, `score` and `withdraw`."""

from pathlib import Path

from dxbench import paths
from dxbench.boards.opening import check_folder, open_records
from dxbench.cli.common import say
from dxbench.errors import ExitCode, InvalidFile, NothingMeasured, UsageError
from dxbench.files.writing import check_writable
from dxbench.plain import counted, plain
from dxbench.records.files import write_record
from dxbench.records.index import entries_named
from dxbench.records.migration import Migration, migrate_folder
from dxbench.records.pruning import superseded
from dxbench.records.withdrawing import withdraw
from dxbench.terminal.console import status


def migrate_command(folder: Path | None, *, as_json: bool) -> int:
    """Put the records of a folder into today's form.

    Raises:
        UsageError: if there is no such folder.
        InvalidFile: at the end, naming every file that was left.
    """
    results = _folder(folder)
    with status("looking") as tell:
        found = migrate_folder(results, home=paths.home(), progress=tell)
    if as_json:
        say(_as_json(found))
    else:
        for one in found.renamed:
            print(f"{plain(str(one.old))} -> {one.new.name}")
        for method, why in sorted(found.not_installed.items()):
            print(f"configurations of {plain(method)} are left as they are: {plain(why)}")
        print(f"{results}: {counted(found.migrated, 'record')} migrated, in today's form already: {found.current}")
    _refuse(found)
    return int(ExitCode.OK)


def _as_json(found: Migration) -> dict[str, object]:
    return {
        "migrated": found.migrated,
        "current": found.current,
        "renamed": {str(one.old): str(one.new) for one in found.renamed},
        "not_installed": found.not_installed,
        "problems": {str(one.path): one.reason for one in found.problems},
    }


def _refuse(found: Migration) -> None:
    if found.problems:
        listing = "\n".join(f"  {problem.path}: {problem.reason}" for problem in found.problems)
        raise InvalidFile(f"left as found: {counted(len(found.problems), 'file')}:\n{listing}")


def prune_command(folder: Path | None, *, dry_run: bool, as_json: bool) -> int:
    """Remove records of superseded versions, and list them.

    Raises:
        UsageError: if there is no such folder.
        InvalidFile: at the end, if a file among the records is none; it stays.
    """
    results = _folder(folder)
    with open_records([results]) as index:
        found = superseded(index)
        for one in found:
            if not dry_run:
                one.path.unlink()
        if as_json:
            say({"removed": not dry_run, "superseded": {str(one.path): one.reason for one in found}})
        else:
            for one in found:
                print(f"{'would remove' if dry_run else 'removed'} {plain(str(one.path))}: {plain(one.reason)}")
            what = counted(len(found), "record")
            print(f"{results}: {what} of superseded versions{', none removed' if dry_run else ''}")
    return int(ExitCode.OK)


def draw_command(folder: Path | None, *, as_json: bool) -> int:
    """Put pictures of runs beside their records.

    Raises:
        UsageError: if there is no such folder.
        NothingMeasured: if no run has arrays here that its record is of.
        InvalidFile: at the end, if a file among the records is none.
    """
    from dxbench.boards.site.pictures import KeptPictures
    from dxbench.records.pictures import write_tiles

    results, kept = _folder(folder), KeptPictures(paths.home(), results=paths.results())
    with open_records([results]) as index:
        written = [
            path
            for task in index.tasks
            for entry in index.entries(task)
            if (tiles := kept.of(record := entry.record(), results))
            for path in write_tiles(results, record, tiles)
        ]
        if not written:
            raise NothingMeasured(
                f"no run of {results} has its arrays under {paths.home()}; `dxbench run` leaves them there"
            )
        size = sum(path.stat().st_size for path in written)
        if as_json:
            say({"pictures": [str(path) for path in written], "bytes": size})
        else:
            print(f"{results}: {counted(len(written), 'picture')}, {size / 1e3:.0f} kB")
    return int(ExitCode.OK)


def score_command(name: str, *, folder: Path | None, as_json: bool) -> int:
    """Add to records what their runs left out.

    Raises:
        UsageError: for a run that is not there or whose samples are not kept.
        MissingData: if weights or data of the metrics are absent.
        InvalidFile: at the end, if a file among the records is none.
    """
    from dxbench.boards.rescore import KeptSamples, with_left_out

    results, kept = _folder(folder), KeptSamples(paths.home())
    with open_records([results]) as index:
        added: dict[str, list[str]] = {}
        with status("looking") as tell:
            for entry in entries_named(index, name):
                before = entry.record()
                after = with_left_out(before, kept, progress=tell)
                added[before.run_id] = [metric for metric in after.scores if metric not in before.scores]
                if added[before.run_id]:
                    write_record(results, after)
        if as_json:
            say({"added": added})
        else:
            for run_id, metrics in added.items():
                print(f"{plain(run_id)}: " + (f"added {', '.join(metrics)}" if metrics else "lacks nothing"))
    return int(ExitCode.OK)


def withdraw_command(name: str, *, reason: str | None, undo: bool, folder: Path | None, as_json: bool) -> int:
    """Mark records as known to be wrong, or take that back.

    Raises:
        UsageError: for a run that is not there, or neither or both of reason and undo.
        InvalidFile: at the end, if a file among the records is none.
    """
    if undo == (reason is not None):
        raise UsageError("give --reason TEXT, or --undo to take a withdrawal back")
    results = _folder(folder)
    with open_records([results]) as index:
        written = withdraw(index, results, name, reason)
        if as_json:
            say({"withdrawn": reason, "records": [record.run_id for record in written]})
        else:
            for one in written:
                print(f"{plain(f'{one.task}/{one.method}/{one.run_id}')} {'stands again' if undo else 'is withdrawn'}")
            if not written:
                print(f"{plain(name)} is withdrawn for that reason already")
    return int(ExitCode.OK)


def _folder(given: Path | None) -> Path:
    results = given or paths.results()
    check_folder(results)
    if not results.is_dir():
        raise UsageError(f"no folder {results}. {paths.RESULTS_REMEDY}")
    check_writable(results, remedy=paths.RESULTS_REMEDY)
    return results
