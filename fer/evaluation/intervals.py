"""95 % confidence intervals of an accuracy, of the difference of two, and of other means, over clustered test samples.

The images of one person or sequence are not independent evidence: what counts is the number K of *clusters*. With s the
right answers and m the images of a cluster, the accuracy is the ratio Σs/Σm, and the interval says where it would lie
for other clusters of the kind. It takes the trained networks as given. Which method is used depends on the data, and is
said beside each interval:

- *Clopper–Pearson* (Biometrika 26:404, 1934) where images stand for themselves: exact. Several seeds, averaged image by
  image, vary less than one trial an image does: the number of trials is then p(1 - p) over the variance of the mean
  (Korn and Graubard, Survey Methodology 24:193, 1998). Where all or none are right the data do not say how much the
  images of a cluster depend on one another: a cluster counts as one trial, an image as one whatever the number of
  seeds. That holds for any dependence, and is wide: 6 of 6 subjects right in all their images is 54.1 to 100 %.
- *Student's t* with K - 1 degrees of freedom below `FEW` clusters, by the linearised variance of a ratio (Cochran,
  Sampling Techniques, 3rd edition, 1977, section 6.3): K/(K - 1) · Σ(s - pm)²/(Σm)².
- *BCa*: SciPy's bias-corrected and accelerated bootstrap over clusters (Efron, JASA 82:171, 1987) from `FEW` on.
- Both are too narrow near 0 and 1, where all errors lie in few clusters: they cover as rarely as 40 times in 100.
  So the interval spans theirs and that of the *likelihood* of the beta-binomial (Williams, Biometrics 31:949, 1975), in
  which each cluster has an accuracy of its own: the p whose likelihood, with the best correlation between the images of
  a cluster, is not too far below the highest one. Too far is half the square of Student's t with 2(K - 1) degrees of
  freedom: chi-square's quantile, right for many clusters, covers too rarely with six. Where Student's t leaves [0, 1]
  only the likelihood counts, unless the accuracy, in which large clusters weigh more, lies outside of it.

How often they cover is in benchmarks/README.md: 93 to 98 times in 100, and up to 99.8 times at an accuracy of 0.99
with few clusters, where few draws have more than one cluster with errors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv, expit, gammaln, logit, stdtrit

FEW = 30  # clusters below which no bootstrap is drawn
RESAMPLES = 2000
TAIL = 0.025
CORRELATIONS = np.geomspace(1e-6, 0.98, 48)  # between the images of a cluster, over which the likelihood is maximised
BATCH = 10_000_000  # numbers that the bootstrap holds at once
EXACT, STUDENT, BOOTSTRAP, LIKELIHOOD = "Clopper–Pearson", "Student's t", "BCa bootstrap", "beta-binomial likelihood"


@dataclass(frozen=True)
class Interval:
    """A 95 % confidence interval.

    `low` and `high`: its bounds, in the unit of what they bound (an accuracy: fractions in [0, 1]); `method`: how they
    were computed, in words; `clusters`: the number of independent clusters of samples behind them.

    Examples:
        >>> interval = Interval(0.62, 0.71, "BCa bootstrap", 48)
        >>> f"{100 * interval.low:.0f} to {100 * interval.high:.0f} % ({interval.clusters} clusters)"
        '62 to 71 % (48 clusters)'
    """

    low: float
    high: float
    method: str
    clusters: int


def accuracy_interval(correct: np.ndarray, clusters: np.ndarray | None = None) -> Interval:
    """Return the 95 % confidence interval of an accuracy, the mean of `correct`.

    The methods, when each is used and their sources are at the head of this module.

    Args:
        correct: (n,) bool, or float in [0, 1] where several seeds are averaged sample by sample; n > 0.
        clusters: (n,) names of what a sample shares with others, such as its subject. None: each sample stands for
            itself, as it does where all are one cluster: the interval then holds for this one person.

    Returns:
        Bounds in [0, 1].

    Examples:
        >>> accuracy_interval(np.ones(30, bool))
        Interval(low=0.8842..., high=1.0, method='Clopper–Pearson', clusters=30)

        Twenty images of each of six people are less evidence than 120 images of 120 people:

        >>> correct = np.tile(np.arange(20) < 14, 6)
        >>> correct[:20] = False
        >>> people = np.repeat(list("abcdef"), 20)
        >>> for interval in (accuracy_interval(correct), accuracy_interval(correct, people)):
        ...     print(f"{interval.low:.2f} to {interval.high:.2f}")
        0.49 to 0.67
        0.24 to 0.88
    """
    values, codes, found = cluster_codes(correct, clusters)
    sums, sizes = np.bincount(codes, values), np.bincount(codes)
    accuracy = float(values.mean())
    if accuracy in (0, 1):
        return Interval(*clopper_pearson(accuracy, len(sums)), EXACT, found)
    if len(sums) == len(values):
        return Interval(*clopper_pearson(accuracy, trials_of(values)), EXACT, found)
    lowest, highest = likelihood_bounds(sums, sizes)
    low, high, method = ratio_bounds(sums, sizes)
    if (low < 0 or high > 1) and lowest < accuracy < highest:  # Student's t is symmetric where the data are not
        return Interval(lowest, highest, LIKELIHOOD, found)
    return Interval(max(min(low, lowest), 0.0), min(max(high, highest), 1.0), f"{method}, {LIKELIHOOD}", found)


def difference_interval(first: np.ndarray, second: np.ndarray, clusters: np.ndarray | None = None) -> Interval:
    """Return the interval of the mean of `first` less that of `second`, the answers of two systems to the same samples.

    Two samples are added: one that only the first system gets right, and one that only the second does. So a difference
    of few samples is not taken for certain (Bonett and Price, British Journal of Mathematical and Statistical
    Psychology 65:497, 2012), nor one of none.

    Args:
        first, second: (n,) bool or float in [0, 1], in the same order of samples.
        clusters: as those of `accuracy_interval`.
    """
    values, codes, found = cluster_codes(np.asarray(first, float) - np.asarray(second, float), clusters)
    sums, sizes = np.bincount(codes, values), np.bincount(codes)
    low, high = student(np.append(sums, [1, -1]), np.append(sizes, [1, 1]), len(sums) - 1)
    method = STUDENT
    if FEW <= len(sums) < len(values):
        lowest, highest, method = ratio_bounds(sums, sizes)
        low, high = min(low, lowest), max(high, highest)
    return Interval(max(low, -1.0), min(high, 1.0), method, found)


def mean_interval(values: np.ndarray, clusters: np.ndarray | None = None) -> Interval:
    """Return the interval of the mean of `values`, float (n,), of any size; `clusters` as in `accuracy_interval`.

    A single value has none: both bounds are that value.
    """
    values, codes, found = cluster_codes(values, clusters)
    return Interval(*ratio_bounds(np.bincount(codes, values), np.bincount(codes)), found)


def cluster_codes(values: np.ndarray, clusters: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the values as float, the code of each one's cluster, and how many clusters there are.

    If all values form one cluster, each gets a code of its own.
    """
    values, alone = np.asarray(values, float), np.arange(len(values))
    if clusters is None:
        return values, alone, len(values)
    names, codes = np.unique(clusters, return_inverse=True)
    return values, codes if len(names) > 1 else alone, len(names)


def clopper_pearson(accuracy: float, trials: float) -> tuple[float, float]:
    """Return the exact interval of a share of `trials`, which need not be a whole number."""
    right, wrong = accuracy * trials, (1 - accuracy) * trials
    low = float(betaincinv(right, wrong + 1, TAIL)) if right > 0 else 0.0
    return low, float(betaincinv(right + 1, wrong, 1 - TAIL)) if wrong > 0 else 1.0


def trials_of(values: np.ndarray) -> float:
    """Return how many independent trials have the variance of the mean of `values`: at least one per value."""
    spread = variance(values, np.ones(len(values))) if len(values) > 1 else 0.0
    mean = values.mean()
    return max(mean * (1 - mean) / spread, len(values)) if spread > 0 else len(values)


def variance(sums: np.ndarray, sizes: np.ndarray) -> float:
    """Return the linearised variance of Σ sums / Σ sizes, two or more clusters."""
    residuals, clusters = sums - sums.sum() / sizes.sum() * sizes, len(sums)
    return clusters / (clusters - 1) * float((residuals**2).sum()) / float(sizes.sum()) ** 2


def student(sums: np.ndarray, sizes: np.ndarray, freedom: int) -> tuple[float, float]:
    """Return the bounds of Σ sums / Σ sizes by Student's t."""
    middle = float(sums.sum() / sizes.sum())
    half = float(stdtrit(max(freedom, 1), 1 - TAIL)) * variance(sums, sizes) ** 0.5 if len(sums) > 1 else 0.0
    return middle - half, middle + half


def ratio_bounds(sums: np.ndarray, sizes: np.ndarray) -> tuple[float, float, str]:
    """Return the bounds of Σ sums / Σ sizes and the method: Student's t below `FEW` clusters, else BCa."""
    clusters = len(sums)
    if clusters < FEW or variance(sums, sizes) < 1e-20:  # BCa has no answer where all clusters are alike
        return *student(sums, sizes, clusters - 1), STUDENT
    from scipy.stats import bootstrap  # takes half a second, which jobs of few clusters need not wait for

    found = bootstrap(
        (sums, sizes),
        lambda sums, sizes, axis: sums.sum(axis) / sizes.sum(axis),
        n_resamples=RESAMPLES,
        batch=max(1, BATCH // clusters),
        vectorized=True,
        paired=True,
        method="BCa",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(found.low), float(found.high), BOOTSTRAP


def likelihood_bounds(sums: np.ndarray, sizes: np.ndarray) -> tuple[float, float]:
    """Return the bounds of a beta-binomial's mean by its profile likelihood.

    Args:
        sums: float (clusters,), right answers; fractions, of several seeds, count as they are.
        sizes: int (clusters,), images.
    """
    from scipy.optimize import brentq, minimize_scalar  # as long to import as NumPy and SciPy's functions together

    (sums, sizes), times = np.unique(np.stack([sums, sizes]), axis=1, return_counts=True)
    concentration = (1 / CORRELATIONS - 1)[:, None]
    fixed = gammaln(concentration) - gammaln(concentration + sizes)

    def likelihood(position: float) -> float:
        right = expit(position) * concentration
        wrong = expit(-position) * concentration
        found = gammaln(right + sums) - gammaln(right) + gammaln(wrong + sizes - sums) - gammaln(wrong) + fixed
        return float((found @ times).max())

    ends = (-20.0, 20.0)
    start = float(logit(sums @ times / (sizes @ times)))
    best = minimize_scalar(lambda position: -likelihood(position), bounds=(start - 3, start + 3), method="bounded")
    least = -best.fun - float(stdtrit(2 * (times.sum() - 1), 1 - TAIL)) ** 2 / 2
    bounds = [
        brentq(lambda position: likelihood(position) - least, best.x, end) if likelihood(end) < least else end
        for end in ends
    ]
    return float(expit(bounds[0])), float(expit(bounds[1]))
