"""Which differences between a study's systems are more than chance."""

from __future__ import annotations

import pandas as pd

from fer.evaluation import significance
from fer.evaluation.answers import Scores
from fer.evaluation.significance import Predictions
from fer.reporting.budget import compare_budgets
from fer.reporting.comparison import any_synthetic
from fer.reporting.results import Result
from fer.reporting.tables import Table, points

NOTE = (
    "Every pair of sound experiments on the same test samples of a dataset: how many samples only one of them "
    "gets right, the difference of their accuracies in points, and the p-value of McNemar's test or, where "
    "samples are clustered by subject, sequence or seed, of Obuchowski's test (1998), corrected by Holm's method "
    "over the pairs of a dataset. The tests take the trained networks as given. Where the budget is unequal "
    "in epochs, steps or input size, the difference may be due only to training, as it is where a "
    "run never learned. Pairs with different test samples cannot "
    "be compared; only the CSV lists them."
)


def table(results: list[Result]) -> Table:
    """The comparisons of the sound experiments, for reading."""
    sound = [result for result in results if result.kind == "sound"]
    found = comparisons(sound)
    return Table("significance", "Significance", NOTE, readable(found), found, any_synthetic(sound))


def readable(found: pd.DataFrame, digits: int = 3) -> pd.DataFrame:
    """Return the pairs that can be compared as people read them: percentage points, counts with commas.

    Args:
        found: what `fer.evaluation.significance.comparisons` or `comparisons` returned.
        digits: of the p-values.
    """
    rows = [
        {
            "dataset": row["dataset"],
            "first": row["first"],
            "second": row["second"],
            "n": f"{row['n']:,.0f}",
            "clusters": f"{row['clusters']:,.0f}",
            "first alone": f"{row['first_only_right']:,.0f}",
            "second alone": f"{row['second_only_right']:,.0f}",
            "difference": points(row["difference"]),
            "p": f"{row['p']:.{digits}g}",
            "p (Holm)": f"{row['p_holm']:.{digits}g}",
            "test": row["test"],
            "budget": row.get("budget"),  # of a study's pairs
        }
        for row in found[found["n"].notna()].to_dict("records")
    ]
    return pd.DataFrame(rows)


def comparisons(results: list[Result]) -> pd.DataFrame:
    """Return every pair of experiments on one dataset with the difference in accuracy and its p-value.

    The columns are those of `fer.evaluation.significance.comparisons`, and `budget`: whether both were trained
    alike, and which of them never learned.
    """
    found = significance.comparisons(
        [Predictions(result.name, result.experiment.dataset, by_pair(result)) for result in results]
    )
    by_name = {result.name: result for result in results}
    pairs = zip(found["first"], found["second"], strict=True)
    return found.assign(budget=[marks(by_name[first], by_name[second]) for first, second in pairs])


def marks(first: Result, second: Result) -> str:
    """Return in words how the budgets of two experiments compare, and which of them never learned."""
    idle = [f"{result.name}: {words}" for result in (first, second) if (words := result.losses.idle())]
    return "; ".join([compare_budgets(first.budget, second.budget), *idle])


def by_pair(scores: Scores) -> pd.DataFrame:
    """Return the predictions with both images of a pair under one number: the lower one.

    So a network for infrared images is tested on the same samples as one for visible images. Kept predictions, which do
    not name the partner, stay as they are.
    """
    return scores.predictions.assign(sample=scores.predictions.filter(["sample", "partner"]).min(axis=1))
