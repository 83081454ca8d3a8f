"""Explanations of metrics: what a reader has to know before a number says anything, by the parts of its name.

A name is prefixes, a stem and suffixes, then @N and what was scored: `image_robust_auroc`, `fd_resnet56@10k_start`.
Each part says its sentence, so that metrics are listed without being imported and none lacks one.
"""

from dataclasses import dataclass

from dxbench.api import DescribedMetric, Direction, Metric, MetricCard

NAEEM, KYNKAANNIEMI = "Naeem et al. 2020, arXiv:2002.09797", "Kynkaanniemi et al. 2019, arXiv:1904.06991"
HEUSEL, BINKOWSKI = "Heusel et al. 2017, arXiv:1706.08500", "Binkowski et al. 2018, arXiv:1801.01401"
BERGMANN = "Bergmann et al. 2021, doi:10.1007/s11263-020-01400-4"
DAVIS = "Davis and Goadrich 2006, doi:10.1145/1143844.1143874"
BONNEEL = "Bonneel et al. 2015, doi:10.1007/s10851-014-0506-3"
OWN = "dxbench"


def _distance(summary: str, source: str, *, low: float | None = 0.0, unit: str = "") -> MetricCard:
    return MetricCard(summary=summary, unit=unit, low=low, high=None, better="lower", source=source)


def _share(summary: str, source: str, better: Direction = "higher") -> MetricCard:
    return MetricCard(summary=summary, unit="", low=0.0, high=1.0, better=better, source=source)


def _percent(summary: str, source: str) -> MetricCard:
    return MetricCard(summary=summary, unit="%", low=0.0, high=100.0, better="higher", source=source)


def _at_least(summary: str, source: str, *, low: float, better: Direction = "higher") -> MetricCard:
    return MetricCard(summary=summary, unit="", low=low, high=None, better=better, source=source)


STEMS = {
    "fid": _distance(
        "Frechet distance of Gaussians fitted to features of the 2015 Inception; it falls with the number of samples.",
        HEUSEL,
    ),
    "sfid": _distance(
        "Frechet distance of Gaussians fitted to spatial features of the 2015 Inception, which see where things are.",
        "Nash et al. 2021, arXiv:2103.03841",
    ),
    "fd": _distance(
        "Frechet distance of Gaussians fitted to features that are not Inception's; comparable with no FID.", HEUSEL
    ),
    "kid": _distance(
        "Unbiased MMD^2 of features of the 2015 Inception under a cubic kernel, 0 on average for one law and of either "
        "sign; its std (ddof 1) is over subsets.",
        BINKOWSKI,
        low=None,
    ),
    "kd": _distance(
        "Unbiased MMD^2 of features that are not Inception's under a cubic kernel, 0 on average for one law and of "
        "either sign; its std (ddof 1) is over subsets.",
        BINKOWSKI,
        low=None,
    ),
    "inception_score": _at_least(
        "exp of the mean KL(p(y|x) || p(y)) of the classes that the 2015 Inception sees; it looks at no reference, its "
        "std (ddof 1) is over blocks.",
        "Salimans et al. 2016, arXiv:1606.03498",
        low=1.0,
    ),
    "precision": _share("Share of samples on the manifold of the references; made-up samples lower it.", KYNKAANNIEMI),
    "recall": _share("Share of references on the manifold of the samples; lost modes lower it.", KYNKAANNIEMI),
    "density": _at_least(
        "Mean number of balls around references that a sample lies in, over k: precision that outliers among the "
        "references do not widen; 1 for one law, and more where samples crowd.",
        NAEEM,
        low=0.0,
    ),
    "coverage": _share(
        "Share of references with a sample nearer than their k-th neighbour; lost modes lower it, and samples far off "
        "do not raise it.",
        NAEEM,
    ),
    "vendi": _at_least(
        "How many different samples the samples are worth: exp of the entropy of the eigenvalues of their cosine "
        "similarities; it looks at no reference, so that noise raises it.",
        "Friedman and Dieng 2023, arXiv:2210.02410",
        low=1.0,
    ),
    "authenticity": _share(
        "Share of samples further from the nearest training point than that one from its own nearest; copies lower it, "
        "and samples that are far off raise it.",
        "Alaa et al. 2022, arXiv:2102.08921",
    ),
    "fld": _distance(
        "How many nats per dimension less, times 100, Gaussians around the samples give unseen points than Gaussians "
        "around half of the training points: fidelity, diversity and novelty in one; 0 is as good as training points.",
        "Jiralerspong et al. 2023, arXiv:2302.04440",
        low=None,
    ),
    "vwkde_kl": _distance(
        "KL(reference || samples) on the reference's leading principal axes by weighted kernel density ratios; an "
        "estimate, which may fall below 0.",
        "Yoon et al. 2023, arXiv:2311.03001",
        low=None,
        unit="nats",
    ),
    "nearest_train": _at_least(
        "Mean distance of a sample to the nearest training point; smaller than that of unseen points tells of "
        "memorisation, larger of poor samples.",
        "after Meehan et al. 2020, arXiv:2004.05675",
        low=0.0,
        better="none",
    ),
    "energy_distance": _distance(
        "2 E|X - Y| - E|X - X'| - E|Y - Y'| of samples X and reference Y, unbiased: 0 on average for one law, of "
        "either sign.",
        "Szekely and Rizzo 2013, doi:10.1016/j.jspi.2013.03.018",
        low=None,
    ),
    "sw2": _distance(
        "Sliced Wasserstein-2 distance, rooted, of samples to as many test draws; two sets of test draws are at the "
        "floor that the reference row shows, not at 0.",
        f"{BONNEEL}; protocol of arXiv:2407.00626, App. C.1",
    ),
    "sw2_exact": _distance(
        "Sliced Wasserstein-2 distance, rooted, of samples to the closed-form quantiles of the true law, which add no "
        "noise.",
        BONNEEL,
    ),
    "w2": _distance(
        "Wasserstein-2 distance, rooted, of samples to as many exact draws, by exact optimal transport; two sets of "
        "exact draws are at the floor that the reference row shows, not at 0.",
        "Flamary et al. 2021, JMLR 22(78), as Akhound-Sadegh et al. 2024, arXiv:2402.06121 report it",
    ),
    "marginal_ks": _share(
        "Largest distance between the distribution functions of samples and of exact draws in any coordinate; it sees "
        "modes that are lost along a coordinate, and not how coordinates hang together.",
        "Smirnov 1948, doi:10.1214/aoms/1177730256",
        "lower",
    ),
    "energy_tv": _share(
        "Total variation of histograms of the given energy, of samples against exact draws: wrong widths and invented "
        "points raise it, and lost modes of equal energy do not.",
        "as Yoon et al. 2025, arXiv:2502.13280 report it",
        "lower",
    ),
    "energy_w2": _distance(
        "Wasserstein-2 distance, rooted, of the given energies of samples to those of as many reference draws; one "
        "sample whose particles overlap can make it huge.",
        "as Akhound-Sadegh et al. 2024, arXiv:2402.06121 report it",
        unit="nats",
    ),
    "distance_w2": _distance(
        "Wasserstein-2 distance, rooted, of the distances of all pairs of particles of samples to those of as many "
        "reference draws; it sees no more of a shape than them.",
        "after Akhound-Sadegh et al. 2024, arXiv:2402.06121, who report the total variation of these distances",
    ),
    "sampling_calls": _distance(
        "Points that the given energy was called at per sample that is drawn; a gradient counts as one call more.", OWN
    ),
    "training_calls": _distance(
        "Points that the given energy was called at in the whole training; a gradient counts as one call more.", OWN
    ),
    "ess": _share(
        "Effective sample size of a model's weighted samples, as a share of their number; modes that were lost are not "
        "seen.",
        "Kish 1965",
    ),
    "log_z_error": _distance(
        "Absolute error of log Z, estimated by the log of the mean weight of a model's samples; with one mode of n "
        "left, it is log n.",
        "as Midgley et al. 2023, arXiv:2208.01893 report it",
        unit="nats",
    ),
    "elbo_error": _distance(
        "How far the mean log weight of a model's samples lies from log Z: the divergence of its chains from the true "
        "ones.",
        "as Blessing et al. 2024, arXiv:2406.07423 report it",
        unit="nats",
    ),
    "energy_auc": _share(
        "Probability that a test point has a lower energy than a point that is none, ties half.",
        "arXiv:2407.00626, App. C.1",
    ),
    "energy_kl": _distance(
        "KL divergence of exp(-E / temperature) from the true density, both normalised on a grid over the domain.",
        "Kullback and Leibler 1951, doi:10.1214/aoms/1177729694",
        unit="nats",
    ),
    "energy_rank": MetricCard(
        summary="Spearman's correlation of -E with the true log density: whether the energy orders points rightly, at "
        "whatever scale.",
        unit="",
        low=-1.0,
        high=1.0,
        better="higher",
        source="Spearman 1904, doi:10.2307/1412159",
    ),
    "mode_share_min": _share("Smallest share of samples nearest to one centre; a lost mode lowers it.", OWN),
    "mode_share_max": _share("Largest share of samples nearest to one centre; a swollen mode raises it.", OWN, "lower"),
    "outlier_share": _share("Share of samples that lie far from every centre: invented points.", OWN, "lower"),
    "class_share_min": _share("Smallest share of samples that the net calls one class; a lost class lowers it.", OWN),
    "class_share_max": _share(
        "Largest share of samples that the net calls one class; a swollen class raises it.", OWN, "lower"
    ),
    "class_accuracy": _share("Share of samples that the net calls the class they were drawn of.", OWN),
    "auroc": _percent(
        "Probability that an anomaly scores above a normal point, ties half; 50 is chance.",
        "Hanley and McNeil 1982, doi:10.1148/radiology.143.1.7063747",
    ),
    "ap": _percent(
        "Mean precision at the scores of the anomalies; the share of anomalies is chance. Papers call it AUPR as well.",
        DAVIS,
    ),
    "f1_max": _percent(
        "Largest F1 of any threshold, which is chosen on the test points, for all methods alike.",
        "You et al. 2022, arXiv:2206.03687",
    ),
    "min_rank": _percent(
        "Share of normal points below the lowest anomaly: 0 where some anomaly is held more normal than all of them.",
        "arXiv:2208.10940, section 5",
    ),
    "pixel_auroc": _percent(
        "Probability that a defective pixel scores above a normal one, over all images; 50 is chance, and large "
        "defects decide.",
        "Bergmann et al. 2019, doi:10.1109/CVPR.2019.00982",
    ),
    "pixel_ap": _percent(
        "Mean precision at the scores of the defective pixels, over all images; their share of all pixels is chance.",
        DAVIS,
    ),
    "pixel_f1_max": _percent(
        "Largest F1 over pixels of any threshold, which is chosen on the test images, for all methods alike.",
        "Zou et al. 2022, arXiv:2207.14315",
    ),
    "aupro": _percent(
        "Area under the share of each connected defect that is found, up to a rate of 0.3 of false alarms among normal "
        "pixels, over 0.3; 15 is chance.",
        BERGMANN,
    ),
    "aupro_5": _percent(
        "Area under the share of each connected defect that is found, up to a rate of 0.05 of false alarms among "
        "normal pixels, over 0.05; 2.5 is chance.",
        BERGMANN,
    ),
    "aupimo": _percent(
        "Share of an image's defective pixels found while a share of 1e-5 to 1e-4 of the pixels of good images are "
        "false alarms, a mean over the logarithm of that rate and over images.",
        "Bertoldo et al. 2024, arXiv:2401.01984",
    ),
}
PREFIXES = {
    "image": "Scores are of images.",
    "robust": "Each anomaly is at the worst that a search finds.",
}
SUFFIXES = {
    "resnet56": "In pooled features of a CIFAR-10 ResNet-56.",
    "digits": "In features of the digit net.",
    "fashion": "In features of the fashion net.",
    "points": "In the points' own coordinates.",
    "edm": "Against EDM's reference statistics.",
    "pytorch": "As the pytorch-fid package resizes.",
    "clean": "As clean-fid resizes.",
    "fp16": "In float16 as ADM's code, whose ties count as inside.",
    "test": "Against test images.",
    "train": "Against training images.",
    "uniform": "The others are uniformly random images.",
    "blends": "The others are means of two test images.",
    "mnist": "The others are digits of MNIST.",
    "permuted": "The others are test images whose patches are permuted.",
    "uniad": "As UniAD makes maps and scores.",
    "top10": "An image's score is the mean of its ten largest energies.",
    "defects": "A mean over types of defect, each against all normal images.",
    "patches": "Of patches, at the resolution of the energies.",
    "floor": "Of real images in place of samples: what is left without a difference.",
    "start": "Of the model before fine-tuning.",
}
NO_MERIT = {"floor", "start"}


def stem_of(name: str) -> str:
    """A metric's name without its number of samples and what follows: fid of "fid@50k_start"."""
    return name.partition("@")[0]


def card_named(name: str) -> MetricCard | None:
    """The card of a metric of that name; None where a part of it says nothing here."""
    rest, _, tail = name.partition("@")
    count, _, scored = tail.partition("_")
    notes = []
    while (prefix := rest.partition("_")[0]) in PREFIXES:
        notes.append(PREFIXES[prefix])
        rest = rest.partition("_")[2]
    stems = [stem for stem in STEMS if rest == stem or rest.startswith(f"{stem}_")]
    if not stems:
        return None
    stem = max(stems, key=len)
    suffixes = [part for part in (*rest.removeprefix(stem).split("_"), *scored.split("_")) if part]
    if not set(suffixes) <= set(SUFFIXES):
        return None
    notes += [SUFFIXES[suffix] for suffix in suffixes]
    if count:
        thousands = count.endswith("k")
        notes.append(f"Of {int(count.removesuffix('k')) * (1000 if thousands else 1):,} samples.")
    card = STEMS[stem]
    better = "none" if NO_MERIT & set(suffixes) else card.better
    return card.model_copy(update={"summary": " ".join([card.summary, *notes]), "better": better})


@dataclass(frozen=True)
class Limits:
    """The least and the largest value of a metric; None where there is none."""

    low: float | None = None
    high: float | None = None

    def cut(self, value: float) -> float:
        """The value, or the limit that it is beyond."""
        value = value if self.low is None else max(self.low, value)
        return value if self.high is None else min(self.high, value)


UNLIMITED = Limits()


def limits(name: str) -> Limits:
    """The limits of a metric of that name; none where its name says nothing."""
    card = card_named(name)
    return UNLIMITED if card is None else Limits(card.low, card.high)


def card_of(metric: Metric) -> MetricCard | None:
    """The metric's own explanation, or else what its name says; None for a stranger that does not say."""
    return metric.card if isinstance(metric, DescribedMetric) else card_named(metric.name)
