"""docs/start/cluster.md, followed on a real SLURM."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from slurm_cluster import DEADLINE, Cluster, cluster_in

PAGE = Path(__file__).resolve().parents[2] / "docs" / "start" / "cluster.md"


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    yield from cluster_in(tmp_path_factory.mktemp("slurm"))


@pytest.mark.slow
def test_the_page_leads_to_a_table(cluster: Cluster, tmp_path: Path, home: Path) -> None:
    variables = {**os.environ, "SLURM_CONF": str(cluster.conf), "OMP_NUM_THREADS": "1"}
    said = []
    for line in re.findall(r"^dxbench .*", PAGE.read_text(encoding="utf-8"), re.MULTILINE):
        ended = subprocess.run(
            [sys.executable, "-m", *shlex.split(line)],
            env=variables,
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            timeout=DEADLINE,
        )
        assert ended.returncode == 0, ended.stderr
        said.append(ended.stdout)
    assert len(said) == 3
    assert "fastdpm:quick" in said[-1]
    assert len(list((home / "results").glob("gaussians8/*/*.json"))) == 4
