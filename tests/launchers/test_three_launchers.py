"""One sweep by each launcher: the records are equal, but for where they come from and what they cost."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import method
from slurm_cluster import QUICK, Cluster, cluster_in

pytestmark = [pytest.mark.slow]


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    for testbed in cluster_in(tmp_path_factory.mktemp("slurm")):
        yield testbed
        testbed.tidy()


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra dxmi-bench[ray]")
def test_three_launchers_have_one_set_of_records(cluster: Cluster, tmp_path: Path) -> None:
    small = 'backbone={"network": {"hidden": 16}, "pretraining": {"iterations": 100}}'
    methods = f"ddim:quick,fastdpm:quick,{method('Toy')}[iterations=20|30]"
    found = {}
    for launcher in ("local", "slurm", "ray"):
        sweep = cluster.sweep(tmp_path / launcher, "-t", QUICK, "-m", methods, "--seed", "0,1", "--set", small)
        assert sweep.run("--jobs", "2", launcher=launcher) == 0, sweep.story()
        found[launcher] = sweep.numbers()
        assert len(list(sweep.home.glob("trained/*/start-*.json"))) == 2
        states = sweep.command("status", sweep.folder.name)
        assert f"sweep {sweep.folder.name}: 10 done" in states, states
    assert len(found["local"]) == 8
    assert found["local"] == found["slurm"] == found["ray"]
