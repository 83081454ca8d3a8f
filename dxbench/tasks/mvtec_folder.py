"""Tasks whose images lie in MVTec-AD's folders."""

import logging
from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import torch

from dxbench.errors import InvalidFile, MissingData
from dxbench.features.patches import PatchExtractor, features_of
from dxbench.readers.mvtec import Category, Counts, read_images, scan
from dxbench.tasks.detection import Group
from dxbench.tasks.localisation import Images, PatchGroup, PatchTask

log = logging.getLogger(__name__)


class FolderTask(PatchTask):
    """Categories of a folder, as patches by one extractor.

    Attributes:
        extractor: from images to grids of features.
        counts: what each category has to have; a category that is not named is not counted.
        defects: how many images of each defect a category has to have, where that is known.
    """

    extractor: ClassVar[PatchExtractor]
    counts: ClassVar[Mapping[str, Counts]] = {}
    defects: ClassVar[Mapping[str, Mapping[str, int]]] = {}

    @abstractmethod
    def home(self) -> Path:
        """The folder above the categories."""

    def load(self) -> dict[str, Group]:
        folder = self.home()
        # A copy for image-level scores has no masks at all; it is another set.
        categories = {name: scan(folder / name) for name in self.groups if (folder / name / "ground_truth").is_dir()}
        if not categories:
            raise MissingData(
                f"{folder} has no folder <category>/ground_truth of {', '.join(self.groups)}",
                commands=[asset.prepare for asset in self.assets[:1]],
            )
        for name, category in categories.items():
            self._check_counts(name, category)
        self.extractor.require()
        return {name: self._group(category) for name, category in categories.items()}

    def _check_counts(self, name: str, category: Category) -> None:
        wanted = self.counts.get(name)
        if wanted is not None and category.counts != wanted:
            raise InvalidFile(f"{category.folder}: wants {wanted}, found {category.counts}; fetch the category anew")
        defects = dict(Counter(image.defect for image in category.test if image.mask is not None))
        if defects != self.defects.get(name, defects):
            raise InvalidFile(
                f"{category.folder}/test: wants the defects {_listed(self.defects[name])}, found {_listed(defects)}; "
                "fetch the category anew"
            )

    def _group(self, category: Category) -> PatchGroup:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        found = features_of(category, self.extractor, device=device, progress=log.info)

        def shown(indices: Sequence[int]) -> Images:
            return read_images(category.folder, [category.test[i].path for i in indices], self.extractor.side)

        return PatchGroup(
            train=found.train,
            test=found.test,
            anomalous=category.anomalous,
            masks=found.masks,
            defects=category.defects,
            shown=shown,
            digest=found.digest,
        )


def _listed(defects: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in sorted(defects.items())) or "none"
