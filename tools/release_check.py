"""Checks whether this checkout is fit to be released: `make release-check`, or `python tools/release_check.py`.

Builds the sdist, and the wheel out of it; holds version, changelog, citation, metadata, licences and size against each
other; installs the wheel in an empty environment outside the checkout and runs there what a newcomer runs first. Prints
a line per check, and exits with 1 if one fails.
"""

import argparse
import configparser
import email
import email.message
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 6_000_000
"""Bytes of a wheel."""
LICENCES = frozenset({"MIT", "CC0-1.0", "CC-BY-4.0"})
"""That a shipped file may have."""
CODE_ENDINGS = (".py", ".pyi", ".toml", ".jinja", ".j2", ".css", ".js", ".sh", ".yml", ".cff", ".typed")
CODE_NAMES = frozenset(
    {
        *("run", "Makefile", "Dockerfile", ".dockerignore", "devcontainer.json"),
        *(".gitignore", "LICENSE", "constraints.txt"),
    }
)
HOMES = {"dxbench/reference_results/": "results/", "dxbench_baselines/": "baselines/dxbench_baselines/"}
"""Where what a wheel holds lies in the checkout, if it lies elsewhere."""
RELEASE = re.compile(r"^## (\d+\.\d+\.\d+) \((\d{4}-\d\d-\d\d)\)$", re.MULTILINE)
VERSION = re.compile(r'^__version__ = "(.+)"$', re.MULTILINE)


class CannotInstall(Exception):
    """Neither network nor cache has the packages that the wheel depends on."""


# --- what can be read ----------------------------------------------------------------------------------------


def version_of(root: Path) -> str:
    """The version that the source says."""
    found = VERSION.search((root / "dxbench" / "__init__.py").read_text(encoding="utf-8"))
    assert found is not None, "dxbench/__init__.py has no __version__"
    return found[1]


def version_problems(root: Path) -> Iterator[str]:
    """Yield where source, changelog, citation and migration page disagree on what is released, and when."""
    version = version_of(root)
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        yield f"dxbench.__version__ is {version!r}, wants MAJOR.MINOR.PATCH"
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    heading = next((line for line in changelog.splitlines() if line.startswith("## ")), "")
    release = RELEASE.match(heading)
    if release is None or release[1] != version:
        yield f"the top section of CHANGELOG.md is {heading!r}, wants '## {version} (YYYY-MM-DD)'"
    citation = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    if str(citation.get("version")) != version:
        yield f"CITATION.cff has version {citation.get('version')}, the source {version}"
    if release is not None and str(citation.get("date-released")) != release[2]:
        yield f"CITATION.cff was released on {citation.get('date-released')}, CHANGELOG.md says {release[2]}"
    page = (root / "docs" / "migrating.md").read_text(encoding="utf-8")
    minor = ".".join([*version.split(".")[:2], "0"])
    if not re.search(rf"^#+ .*to {re.escape(minor)}$", page, re.MULTILINE):
        yield f"docs/migrating.md has no heading that ends with 'to {minor}'"


def metadata_problems(metadata: email.message.Message, names: Iterable[str], *, version: str) -> Iterator[str]:
    """Yield what the metadata of a wheel lack or say wrongly; `names` are the files in the wheel."""
    held = set(names)
    wanted = {"Name": "dxmi-bench", "Version": version, "License-Expression": "MIT"}
    for field, value in wanted.items():
        if metadata[field] != value:
            yield f"{field} is {metadata[field]!r}, wants {value!r}"
    for field in ("Summary", "Requires-Python", "Classifier", "Keywords"):
        if not metadata[field]:
            yield f"{field} is empty"
    if metadata["Description-Content-Type"] != "text/markdown" or not metadata.get_payload():
        yield "the description is not README.md"
    for file in metadata.get_all("License-File") or ["LICENSE"]:
        if not any(name.endswith(f".dist-info/licenses/{file}") for name in held):
            yield f"the licence file {file} is not in the wheel"
    for need in metadata.get_all("Requires-Dist") or []:
        if "@" in need:
            yield f"{need!r} names an address, which an index refuses"


def entry_point_problems(text: str, names: Iterable[str]) -> Iterator[str]:
    """Yield entry points of a wheel whose module is not in it."""
    held = set(names)
    parser = configparser.ConfigParser()
    parser.read_string(text)
    for group in parser.sections():
        for name, value in parser[group].items():
            path = value.partition(":")[0].replace(".", "/")
            if not {f"{path}.py", f"{path}/__init__.py"} & held:
                yield f"{group}: {name} = {value}, of which the wheel has no module"


def is_code(name: str) -> bool:
    """True where a shipped file is code, settings or metadata of the archive itself."""
    path = PurePosixPath(name)
    return path.name.endswith(CODE_ENDINGS) or path.name in CODE_NAMES or path.name == "PKG-INFO"


def at_home(name: str) -> str:
    """The place of a wheel's file in the checkout."""
    return next((home + name.removeprefix(inside) for inside, home in HOMES.items() if name.startswith(inside)), name)


def licence_problems(names: Iterable[str], notice: Mapping[str, Any]) -> Iterator[str]:
    """Yield shipped files, by their names in the checkout, that the notice does not name, and the reverse."""
    entries: list[dict[str, Any]] = notice["shipped"]
    used: set[str] = set()
    for name in sorted(set(names)):
        matching = [pattern for entry in entries for pattern in entry["files"] if fnmatch(name, pattern)]
        used.update(matching)
        if not matching and not is_code(name):
            yield f"{name} is shipped, and NOTICE.toml does not say where it comes from"
    for entry in entries:
        if entry["licence"] not in LICENCES:
            yield f"NOTICE.toml: {entry['what']}: licence {entry['licence']!r} is none of {', '.join(sorted(LICENCES))}"
        for pattern in entry["files"]:
            if pattern not in used:
                yield f"NOTICE.toml: no shipped file is called {pattern}"


def size_problems(size: int, *, limit: int = LIMIT) -> Iterator[str]:
    """Yield that a wheel is too large."""
    if size >= limit:
        yield f"the wheel has {size:,} bytes, wants fewer than {limit:,}"


def heaviest(wheel: Path, count: int = 5) -> list[str]:
    """The largest parts of a wheel: files of weights, and folders, with their compressed bytes."""
    sums: dict[str, int] = {}
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            path = PurePosixPath(member.filename)
            key = str(path) if path.suffix == ".safetensors" else "/".join(path.parts[:2])
            sums[key] = sums.get(key, 0) + member.compress_size
    return [f"{size:,} {key}" for key, size in sorted(sums.items(), key=lambda item: -item[1])[:count]]


# --- what has to be built and run ----------------------------------------------------------------------------


def call(command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    """The standard output of a command.

    Raises:
        RuntimeError: with all it said, if it fails.
    """
    ended = subprocess.run([*map(str, command)], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit code {ended.returncode}\n{ended.stdout}{ended.stderr}")
    return ended.stdout


def uv() -> Path:
    """The installer beside this Python, where `make` puts it."""
    return Path(sys.executable).with_name("uv")


def built(out: Path) -> tuple[Path, Path]:
    """The sdist of the checkout, and the wheel built out of that sdist."""
    options = ["--quiet", "--no-build-isolation", "--clear", "--python", sys.executable, "--out-dir", str(out)]
    call([uv(), "build", *options], cwd=ROOT)
    (sdist,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    return sdist, wheel


def installed(wheel: Path, folder: Path, *, offline: bool) -> Path:
    """The Python of a new environment in `folder` that has the wheel and what it depends on.

    Raises:
        CannotInstall: if its dependencies cannot be had.
    """
    python = folder / "bin" / "python"
    install = [uv(), "pip", "install", "--quiet", "--python", python, *(["--offline"] if offline else [])]
    call([uv(), "venv", "--quiet", "--python", sys.executable, folder], cwd=folder.parent)
    needs = folder / "requirements.txt"
    with zipfile.ZipFile(wheel) as archive:
        needed = _metadata(archive).get_all("Requires-Dist") or []
    needs.write_text("\n".join(line for line in needed if "extra ==" not in line) + "\n")
    try:
        call([*install, "-c", ROOT / "constraints.txt", "-r", needs], cwd=folder.parent)
    except RuntimeError as error:
        raise CannotInstall(str(error)) from error
    call([*install, "--no-deps", wheel], cwd=folder.parent)
    return python


def newcomer_problems(python: Path, folder: Path, *, version: str) -> Iterator[str]:
    """Yield what goes wrong in an empty folder for somebody who has installed the wheel."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR", "OMP_NUM_THREADS") if name in os.environ}
    env = kept | {"HOME": str(folder), "MPLBACKEND": "agg"}
    dxbench = python.with_name("dxbench")
    try:
        home = Path(call([python, "-c", "import dxbench; print(dxbench.__file__)"], cwd=folder, env=env).strip())
        if ROOT in home.parents and python.parents[1] not in home.parents:
            yield f"dxbench is imported from the checkout: {home}"
        said = call([dxbench, "--version"], cwd=folder, env=env).strip()
        if said != f"dxbench {version}":
            yield f"dxbench --version says {said!r}, wants 'dxbench {version}'"
        job = ["run", "--task", "gaussians8", "--method", "dxmi", "--preset", "quick", "--json"]
        (record,) = json.loads(call([dxbench, *job], cwd=folder, env=env))
        if record["status"] != "ok" or "sw2" not in record["scores"]:
            yield f"dxbench {' '.join(job)} ended as {record['status']}"
        table = call([dxbench, "table", "--task", "gaussians8", "--published", "--format", "csv"], cwd=folder, env=env)
        for row in ("dxmi:quick", "gcd", "DDPM, T=5"):  # this run's, a record that ships, and a paper's
            if row not in table:
                yield f"dxbench table --task gaussians8 has no row {row!r}"
        call([dxbench, "leaderboard", "build", "--out", "site"], cwd=folder, env=env)
        for page in ("index.html", "tasks/gaussians8.html"):
            if not (folder / "site" / page).is_file():
                yield f"dxbench leaderboard build wrote no {page}"
    except RuntimeError as error:
        yield str(error)


def _metadata(archive: zipfile.ZipFile) -> email.message.Message:
    (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    return email.message_from_bytes(archive.read(name))


# --- the whole -----------------------------------------------------------------------------------------------


def archive_checks(sdist: Path, wheel: Path, *, version: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each check of what was built, by name, with its problems."""
    with zipfile.ZipFile(wheel) as archive:
        names, metadata = archive.namelist(), _metadata(archive)
        (points,) = (name for name in names if name.endswith(".dist-info/entry_points.txt"))
        yield "metadata", list(metadata_problems(metadata, names, version=version))
        yield "entry points", list(entry_point_problems(archive.read(points).decode(), names))
    with tarfile.open(sdist) as archive:
        packed = [member.name.partition("/")[2] for member in archive if member.isfile()]
    shipped = [at_home(name) for name in names if ".dist-info/" not in name] + packed
    notice = tomllib.loads((ROOT / "NOTICE.toml").read_text(encoding="utf-8"))
    yield "licences", list(licence_problems(shipped, notice))
    yield "size", list(size_problems(wheel.stat().st_size))


def checks(out: Path, *, offline: bool) -> Iterator[tuple[str, list[str]]]:
    """Yield every check by name with its problems, in the order in which they cost time."""
    version = version_of(ROOT)
    yield "version, changelog, citation, migration page", list(version_problems(ROOT))
    sdist, wheel = built(out)
    print(f"{wheel.name}: {wheel.stat().st_size:,} bytes; {'; '.join(heaviest(wheel))}")
    print(f"{sdist.name}: {sdist.stat().st_size:,} bytes")
    yield from archive_checks(sdist, wheel, version=version)
    with tempfile.TemporaryDirectory(prefix="dxbench-release-") as folder:
        place = Path(folder) / "newcomer"
        place.mkdir()
        start = time.monotonic()
        try:
            python = installed(wheel, Path(folder) / "environment", offline=offline)
        except CannotInstall as error:
            yield "install", [f"the packages it depends on cannot be had: {error}"]
            return
        yield f"install, {time.monotonic() - start:.0f} s", []
        start = time.monotonic()
        problems = list(newcomer_problems(python, place, version=version))
        yield f"a run, a table and a site outside the checkout, {time.monotonic() - start:.0f} s", problems


def main() -> int:
    """The exit status: 0 if all is well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "release", help="where sdist and wheel go")
    parser.add_argument("--offline", action="store_true", help="install from uv's cache alone")
    asked = parser.parse_args()
    failed = False
    for name, problems in checks(asked.out, offline=asked.offline):
        print(f"{'FAILED' if problems else 'ok':8}{name}", *problems, sep="\n        ", flush=True)
        failed = failed or bool(problems)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
