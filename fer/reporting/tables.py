"""The results table: as numbers (CSV), for reading (Markdown) and for a paper (LaTeX with booktabs)."""

from __future__ import annotations

import pandas as pd

from fer.reporting.results import Result

SYNTHETIC = "SYNTHETIC"
SYNTHETIC_NOTE = (
    "SYNTHETIC: measured on drawn faces, to show that the whole line works. "
    "These figures say nothing about real faces and must not be compared with published ones."
)


TEXT_COLUMNS = {"dataset", "system", "protocol", "source", "class", "experiment", "part", "modality"}


def numbers(results: list[Result]) -> pd.DataFrame:
    """Return one row an experiment with unrounded figures; fractions lie in [0, 1]."""
    return pd.DataFrame([row(result) for result in results])


def row(result: Result) -> dict:
    published, low_high = result.first.experiment.published, result.interval
    return {
        "experiment": result.name,
        "dataset": result.first.experiment.dataset,
        "system": result.first.experiment.system,
        "protocol": result.first.experiment.protocol,
        "source": "synthetic" if result.synthetic else "real",
        "published_accuracy": published.accuracy,
        "published_source": published.source,
        "accuracy_mean": result.mean("accuracy"),
        "accuracy_std": result.std("accuracy"),
        "accuracy_low": low_high[0],
        "accuracy_high": low_high[1],
        "n_test": result.n,
        "seeds": len(result.seeds),
        "balanced_accuracy_mean": result.mean("balanced_accuracy"),
        "macro_precision_mean": result.mean("macro_precision"),
        "macro_recall_mean": result.mean("macro_recall"),
        "macro_f1_mean": result.mean("macro_f1"),
        "weighted_precision_mean": result.mean("weighted_precision"),
        "weighted_recall_mean": result.mean("weighted_recall"),
        "weighted_f1_mean": result.mean("weighted_f1"),
        "ece_mean": result.mean("ece"),
        **result.cost,
    }


def readable(results: list[Result]) -> pd.DataFrame:
    """Return the table people read: percentages, mean ± std over seeds, interval."""
    rows = []
    for result in results:
        published = result.first.experiment.published
        low, high = result.interval
        rows.append(
            {
                "dataset": result.first.dataset.title + (f" ({SYNTHETIC})" if result.synthetic else ""),
                "system": result.first.system.title,
                "protocol": result.first.experiment.protocol,
                "published %": "none" if published.accuracy is None else f"{100 * published.accuracy:.2f}",
                "source": published.source,
                "ours %": plus_minus(result, "accuracy"),
                "95 % interval": f"{100 * low:.1f} – {100 * high:.1f}",
                "n": f"{result.n:,}",
                "seeds": str(len(result.seeds)),
                "balanced %": plus_minus(result, "balanced_accuracy"),
                "macro F1 %": plus_minus(result, "macro_f1"),
                "ECE %": plus_minus(result, "ece"),
            }
        )
    return pd.DataFrame(rows)


def costs(results: list[Result]) -> pd.DataFrame:
    """Return what a prediction costs, and what the training cost."""
    rows = []
    for result in results:
        seconds = [machine["seconds"] for machine in result.environments]
        rows.append(
            {
                "system": result.first.system.title,
                "experiment": result.name,
                "parameters": f"{result.cost['parameters']:,}",
                "MFLOPs": f"{result.cost['flops'] / 1e6:,.1f}",
                "ms an image": f"{result.cost['milliseconds']:.2f}",
                "training s": f"{sum(seconds) / len(seconds):,.0f}",
            }
        )
    return pd.DataFrame(rows)


def plus_minus(result: Result, metric: str) -> str:
    std = result.std(metric)
    return f"{100 * result.mean(metric):.2f}" + ("" if std is None else f" ± {100 * std:.2f}")


def per_class(result: Result) -> pd.DataFrame:
    table = result.per_class
    shown = (100 * table[["precision", "recall", "f1"]]).map("{:.1f}".format)
    shown.columns = ["precision %", "recall %", "F1 %"]
    return shown.assign(n=table["n"].astype(int)).rename_axis("class").reset_index()


def markdown(table: pd.DataFrame) -> str:
    """Return a GitHub table; the figures' columns are aligned right."""
    lines = [
        list(table.columns),
        [":--" if name in TEXT_COLUMNS else "--:" for name in table.columns],
        *table.values.tolist(),
    ]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def latex(results: list[Result]) -> str:
    """Return a booktabs table to `\\input`; every row on synthetic data says so."""
    table = readable(results).drop(columns=["source", "seeds", "ECE %"])
    table["parameters"] = costs(results)["parameters"]
    table = table.map(escape).rename(columns=escape)
    note = f" {SYNTHETIC_NOTE}" if any(result.synthetic for result in results) else ""
    return table.style.hide(axis="index").to_latex(
        hrules=True,
        column_format="lll" + "r" * (table.shape[1] - 3),
        caption=escape(
            f"Published accuracy beside ours: mean ± standard deviation over seeds, bootstrap interval.{note}"
        ),
        label="tab:fer",
        position_float="centering",
    )


def escape(text: str) -> str:
    for symbol in "&%#_":
        text = text.replace(symbol, f"\\{symbol}")
    return text.replace("±", "$\\pm$").replace("–", "--")
