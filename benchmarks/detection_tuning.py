"""Choose settings of detectors on `mvtec_pooled_*`: image AUROC of the validation split, never of the test's.

`python benchmarks/detection_tuning.py dxmi_detection --seed 10 --set latent=32 --every 100`. The validation split is a
third of the normal images that do not train and a third of the defective ones (docs/tasks/mvtec_pooled.md); training
seeds are those of the search, 10 and 11. Printed: mean AUROC of 15 categories in percent, and the step's scalars.
"""

import argparse
import time
import warnings

import numpy as np

from dxbench.api import Compute, Model, Problem
from dxbench.api.streams import RandomStreams
from dxbench.drawing.draw import energy_function
from dxbench.engine.process import prepare_process
from dxbench.metrics.detection.ranking import auroc
from dxbench.plugins.configure import configure, parse_assignments
from dxbench.plugins.registry import load_method, load_task
from dxbench.tasks.detection import TEST_BATCH, Group
from dxbench.tasks.mvtec_pooled import MVTecPooled


def mean_auroc(model: Model, groups: dict[str, Group]) -> float:
    """The mean AUROC in percent."""
    assert model.energy is not None
    energy = energy_function(model.energy, device="cpu", batch_size=TEST_BATCH)
    scored = [(energy(group.test), group.anomalous) for group in groups.values()]
    return 100 * float(np.mean([auroc(scores[~anomalous], scores[anomalous]) for scores, anomalous in scored]))


def main() -> None:
    """Train, and print a line as often as asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("method")
    parser.add_argument("--features", choices=("resnet18", "vit"), action="append", help="default: both")
    parser.add_argument("--preset", default="default")
    parser.add_argument("--seed", type=int, default=10)
    parser.add_argument("--every", type=int, default=10**9, help="steps between two looks")
    parser.add_argument("--set", dest="assignments", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    compute = Compute(device="cpu", threads=1)
    prepare_process(compute)
    warnings.simplefilter("ignore")
    for features in arguments.features or ("resnet18", "vit"):
        task, method = load_task(f"mvtec_pooled_{features}"), load_method(arguments.method)
        assert isinstance(task, MVTecPooled)
        validation, problem = task.validation(), task.problem(oracle=False)
        assert isinstance(problem, Problem)
        config = configure(method, task, arguments.preset, parse_assignments(arguments.assignments))
        rng = RandomStreams(arguments.method, task.name, arguments.seed)
        training = method().start(problem, config, compute=compute, rng=rng)
        name = f"{arguments.method} {features} {' '.join(arguments.assignments)} seed {arguments.seed}"
        start = time.process_time()
        for step in range(1, training.total_steps + 1):
            scalars = training.step()
            if step % arguments.every == 0 or step == training.total_steps:
                model = training.model()
                used = time.process_time() - start
                text = "  ".join(f"{key} {float(value):.3g}" for key, value in scalars.items())
                print(
                    f"{name}  step {step}  {used:.0f} s  AUROC {mean_auroc(model, validation):.2f}  {text}", flush=True
                )


if __name__ == "__main__":
    main()
