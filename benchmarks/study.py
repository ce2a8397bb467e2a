"""Where the time of a study went: jobs and seconds of each stage, by what Snakemake noted of each job's last run.

snakemake --cores 8 all && python benchmarks/study.py
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pandas as pd


def jobs(metadata: Path) -> pd.DataFrame:
    """Return one row a job: its stage, its log, and its seconds of wall-clock time."""
    noted = [json.loads(path.read_text(encoding="utf-8")) for path in metadata.rglob("*") if path.is_file()]
    table = pd.DataFrame(
        {
            "stage": entry["rule"].partition("-")[0],
            "job": entry["log"][0] if entry.get("log") else entry["rule"],
            "seconds": entry["endtime"] - entry["starttime"],
        }
        for entry in noted
        if entry.get("starttime") and entry.get("endtime")
    )
    return table.groupby(["stage", "job"], as_index=False)["seconds"].max()  # Snakemake notes a job at each output


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--metadata", type=Path, default=Path(".snakemake/metadata"))
    parser.add_argument("--longest", type=int, default=10, help="how many single jobs are listed")
    arguments = parser.parse_args()
    table = jobs(arguments.metadata)
    stages = table.groupby("stage")["seconds"].agg(["size", "sum"]).sort_values("sum", ascending=False)
    print("| stage | jobs | seconds |\n|:--|--:|--:|")
    for stage, (count, seconds) in stages.iterrows():
        print(f"| {stage} | {count:,.0f} | {seconds:,.0f} |")
    print(f"| **all** | {len(table):,} | {table['seconds'].sum():,.0f} |\n\n| job | seconds |\n|:--|--:|")
    for _, job in table.nlargest(arguments.longest, "seconds").iterrows():
        print(f"| {job['job']} | {job['seconds']:.1f} |")


if __name__ == "__main__":
    main()
