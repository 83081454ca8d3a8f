"""Every package that the suite installs is pinned, so that no new release of one can turn the tests red by itself."""

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"


def packages_below(name: str, extra: str = "", *, seen: set[str]) -> Iterator[str]:
    """Yield the packages that `name` needs here, at any depth; torch picks those that it needs itself."""
    try:
        needs = distribution(name).requires or []
    except PackageNotFoundError:  # named for another platform
        return
    for line in needs:
        need = Requirement(line)
        if need.marker is not None and not need.marker.evaluate({"extra": extra}):
            continue
        for extra_of_need in need.extras or {""}:
            key = f"{canonicalize_name(need.name)}[{extra_of_need}]"
            if key not in seen:
                seen.add(key)
                yield canonicalize_name(need.name)
                if canonicalize_name(need.name) != "torch":
                    yield from packages_below(need.name, extra_of_need, seen=seen)


def test_every_package_that_is_installed_has_a_pin():
    pins = {
        canonicalize_name(line.split("==")[0])
        for line in CONSTRAINTS.read_text().splitlines()
        if not line.startswith("#")
    }
    needed = {name for extra in ("", "dev", "docs") for name in packages_below("dxmi-bench", extra, seen=set())}
    assert {"torch", "pytest", "pandas", "cloudpickle", "mkdocs-material"} <= needed
    assert needed - pins == set()
