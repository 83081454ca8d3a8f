"""The container, the dev container and the forms for issues name what is there."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from dxbench.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
FORMS = sorted(path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")
COMMANDS = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}


def instructions() -> list[tuple[str, str]]:
    """(instruction, arguments) in order, lines joined, comments left out."""
    lines = "\n".join(line for line in DOCKERFILE.splitlines() if not line.startswith("#"))
    joined = lines.replace("\\\n", " ")
    return [
        (word, " ".join(rest.split()))
        for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)
    ]


def test_every_make_target_of_the_containers_exists() -> None:
    setup = re.search(r"^SETUP := (\S+)$", MAKEFILE, re.MULTILINE)
    assert setup is not None
    targets = {*re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE), setup[1].replace("$(VENV)", ".venv")}
    devcontainer = (ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8")
    named = [word.rstrip(";.") for word in re.findall(r'\bmake"?,? "?([.a-z/-]+)', DOCKERFILE + devcontainer)]
    assert {"demo", "test", ".venv/.installed"} <= set(named)
    assert set(named) <= targets


def test_the_dockerfile_is_sound() -> None:
    found = instructions()
    words = [word for word, _ in found]
    assert set(words) <= {"ARG", "FROM", "ENV", "RUN", "USER", "WORKDIR", "COPY", "CMD"}  # no ADD of an address
    (base,) = (rest for word, rest in found if word == "FROM")
    assert base.startswith("python:${PYTHON}-")
    assert {rest.partition("=")[0] for word, rest in found if word == "ARG"} == {"PYTHON", "TORCH"}
    (packages,) = (rest for word, rest in found if word == "RUN" and "apt-get" in rest)
    assert "--no-install-recommends" in packages
    assert "rm -rf /var/lib/apt/lists/*" in packages
    assert words.index("USER") < words.index("COPY")  # what is copied and run is not root's
    for sources in (rest for word, rest in found if word == "COPY"):
        assert all((ROOT / source).exists() for source in sources.split()[1:-1])
    assert json.loads(next(rest for word, rest in found if word == "CMD")) == ["make", "demo"]


def test_the_build_argument_reaches_the_installer() -> None:
    (env,) = (rest for word, rest in instructions() if word == "ENV")
    assert "UV_TORCH_BACKEND=${TORCH}" in env
    assert "uv pip install" in MAKEFILE


@pytest.mark.parametrize(("backend", "seen"), [("", "unset"), ("cpu", "cpu")])
def test_an_empty_backend_does_not_reach_the_installer_which_refuses_it(backend: str, seen: str) -> None:
    recipe = "seen: ; @echo $${UV_TORCH_BACKEND-unset}"
    command = ["make", "--silent", "-f", ROOT / "Makefile", f"--eval={recipe}", "seen"]
    shown = subprocess.run(command, env={**os.environ, "UV_TORCH_BACKEND": backend}, capture_output=True, text=True)
    assert shown.stdout == f"{seen}\n", shown.stderr


def test_the_dev_container_builds_the_dockerfile() -> None:
    folder = ROOT / ".devcontainer"
    settings = json.loads((folder / "devcontainer.json").read_text(encoding="utf-8"))
    assert (folder / settings["build"]["dockerfile"]).resolve() == ROOT / "Dockerfile"
    assert (folder / settings["build"]["context"]).resolve() == ROOT
    assert all(f"ARG {name}" in DOCKERFILE for name in settings["build"]["args"])
    assert f"USER {settings['remoteUser']}" in DOCKERFILE


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_forms_for_issues_ask_for_the_doctor_and_name_commands_that_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    form: dict[str, Any] = yaml.safe_load(text)
    fields = {field["id"]: field for field in form["body"]}
    assert "`dxbench doctor`" in fields["doctor"]["attributes"]["label"]
    assert fields["doctor"]["validations"]["required"]
    assert set(re.findall(r"`dxbench ([a-z-]+)", text)) <= COMMANDS
