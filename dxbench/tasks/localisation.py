"""Parts that tasks on patches of images share: models train on patches of good images, maps and images are ranked.

A patch is a point: `Problem.data` has all of them as rows and knows their grid (`dxbench.api.PatchData`), and a model
has an energy of patches (`Model.energy`) or of whole grids (`Model.maps`). Image scores and maps come from its energies
by the task's `PatchScoring`, the same for every method.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from dxbench.api import Evaluation, Metric, Model, Tile, canonical_json, short_hash
from dxbench.drawing.draw import energy_maps
from dxbench.features.patches import PatchExtractor
from dxbench.metrics.detection.maps import PatchScoring
from dxbench.metrics.detection.metrics import GroupScores, detection_metrics, localisation_metrics, robust_metrics
from dxbench.metrics.detection.ranking import Scores
from dxbench.metrics.detection.regions import Masks
from dxbench.metrics.detection.robust import WorstCase
from dxbench.pictures.base import CaptionedFigure
from dxbench.pictures.detection import detection_pictures
from dxbench.pictures.localisation import localisation_pictures
from dxbench.pictures.tiles import localisation_tiles
from dxbench.tasks.detection import TEST_BATCH, Array, DetectionTask, Group, PatchSet

Images = NDArray[np.uint8]
CURVE_POINTS = 201


@dataclass(frozen=True, kw_only=True, eq=False)
class PatchGroup(Group):
    """A category as grids of patches: train [n, h, w, d], test [m, h, w, d].

    Attributes:
        masks: true at defects, [m, side, side].
        defects: the type of each test image's defect, [m]; None where types are not told apart.
        shown: test images by index as uint8 [k, side, side, 3], read when a picture wants them; None without images.
        digest: sha256 of the files.
    """

    masks: Masks
    defects: NDArray[np.str_] | None
    shown: Callable[[Sequence[int]], Images] | None
    digest: str


class PatchTask(DetectionTask):
    """Energies of patches, as maps and image scores ranked within each group.

    Attributes:
        scoring: of maps and images.
        views: other ways to score the same energies, by the ending of their metrics' names.
    """

    family = "patches"
    problem_is_quick = False  # features are computed at first
    scoring: ClassVar[PatchScoring]
    views: ClassVar[Mapping[str, PatchScoring]] = {}

    def training_set(self, groups: Sequence[Group]) -> PatchSet:
        n, (_, h, w, d) = sum(len(group.train) for group in groups), groups[0].train.shape
        points, start = torch.empty((n * h * w, d)), 0
        for group in groups:  # float16 of a cache becomes float32 without a second copy of all of it
            rows = torch.from_numpy(group.train.reshape(-1, d))
            points[start : start + len(rows)] = rows
            start += len(rows)
        return PatchSet(points=points, grid=(h, w))

    def score_group(self, model: Model, group: Group, *, device: str) -> GroupScores | None:
        assert isinstance(group, PatchGroup)
        if model.energy is None and model.maps is None:
            return None
        energies = energy_maps(model, group.test, device=device, batch_size=TEST_BATCH)
        main, *others = (
            scoring.group(energies, anomalous=group.anomalous, masks=group.masks)
            for scoring in (self.scoring, *self.views.values())
        )

        def image_scores(points: Array) -> Scores:
            grids = self.grids_of(points, device=device)
            return self.scoring.images(energy_maps(model, grids, device=device, batch_size=TEST_BATCH))

        robust = self.robust_view(image_scores, group, main.scores, lambda rows: self.threatened(group, rows))
        views = dict(zip(self.views, others, strict=True)) | robust
        return replace(main, views=views, defects=group.defects)

    def threatened(self, group: Group, rows: NDArray[np.intp]) -> Array:
        """Test images as threat models change them, here their features [n, h, w, d]."""
        return group.test[rows].astype(np.float32)

    def grids_of(self, points: Array, *, device: str) -> Array:
        """The points of `threatened`, once changed, as grids of features [n, h, w, d]."""
        return points

    def evaluate(self, model: Model, *, seed: int, device: str, progress: Callable[[str], None]) -> Evaluation:
        evaluation = super().evaluate(model, seed=seed, device=device, progress=progress)
        digests = [group.digest for group in self.loaded.values() if isinstance(group, PatchGroup)]
        note = f"sha256 of the groups' files: {short_hash(list(digests), digits=16)}"
        return replace(evaluation, notes=evaluation.notes | {"data": note})

    def kept(self, name: str, group: GroupScores) -> dict[str, NDArray[Any]]:
        data = self.loaded[name]
        assert isinstance(data, PatchGroup)
        assert group.energies is not None
        kept = super().kept(name, group) | {"energies": group.energies.astype(np.float32)}
        if group.pixels is not None:
            kept["rates"] = np.linspace(0.0, 1.0, CURVE_POINTS)
            kept["roc"], kept["pro"] = group.pixels.curves(kept["rates"])
        shown = example_images(group)
        maps = self.scoring.maps(group.energies[shown]).astype(np.float32)
        kept |= {"shown_scores": group.scores[shown], "shown_maps": maps, "shown_masks": data.masks[shown]}
        if data.shown is not None:
            kept["shown_images"] = data.shown(shown)
        return kept

    def pictures(self, arrays: Mapping[str, NDArray[Any]]) -> list[CaptionedFigure]:
        return [*detection_pictures(arrays), *localisation_pictures(arrays)]

    def tiles(self, arrays: Mapping[str, NDArray[Any]]) -> list[Tile]:
        return localisation_tiles(arrays)


def example_images(group: GroupScores) -> list[int]:
    """Images to show: the defective one of median score, the defective one of the lowest, the good one of the highest.

    Fewer where a group lacks a kind.
    """
    order = np.argsort(group.scores, kind="stable")
    defective, good = order[group.anomalous[order]], order[~group.anomalous[order]]
    shown = [int(defective[len(defective) // 2]), int(defective[0])] if len(defective) else []
    return shown + ([int(good[-1])] if len(good) else [])


def metrics_of(
    *,
    reference: str,
    scoring: PatchScoring,
    views: Mapping[str, PatchScoring],
    worst_case: WorstCase,
) -> tuple[Metric, ...]:
    """Metrics of images and of pixels: by the main scoring, AUROC alone by the others, and the robust."""
    found: list[Metric] = list(detection_metrics(reference=reference, image_score=scoring.image_score, prefix="image_"))
    found += localisation_metrics(reference=reference, map_recipe=scoring.map_recipe)
    for view, other in views.items():
        if other.image_score != scoring.image_score:
            found += detection_metrics(reference=reference, image_score=other.image_score, prefix="image_", view=view)[
                :1
            ]
        if other.map_recipe != scoring.map_recipe:
            found += localisation_metrics(reference=reference, map_recipe=other.map_recipe, view=view)[:1]
    found += robust_metrics(
        reference=reference, worst_case=worst_case, prefix="image_", image_score=scoring.image_score
    )
    return tuple(found)


def recipe_of(extractor: PatchExtractor) -> str:
    """An extractor in a protocol's words: all that changes its features."""
    h, w, d = extractor.shape
    return f"features {extractor.name} {d} x {h} x {w}: {canonical_json(extractor.fields)}"
