rule report:
    input:
        study=STUDY_FILE,
        experiments=[params.experiment_file(name) for name in EXPERIMENTS],
        systems=sorted({params.system_file(experiment.system) for experiment in EXPERIMENTS.values()}),
        datasets=[params.dataset_file(dataset) for dataset in PROTOCOLS],
        runs=[
            run / name
            for run in RUNS
            for name in (
                PREDICTIONS,
                METRICS,
                COST,
                HISTORY,
                PARAMETERS,
                ENVIRONMENT,
                CONFUSION,
                WEIGHTS,
            )
        ],
        data=DATA_FACTS,
        sheets=[LAYOUT.figure(dataset, "faces") for dataset in PROTOCOLS],
        code=[
            module("report"),
            *(f"fer/reporting/{name}.py" for name in ("results", "data", "tables", "figures")),
            *(f"fer/reporting/templates/{name}.j2" for name in ("results.md", "index.html")),
            "fer/evaluation/metrics.py",
            "fer/leakage.py",
        ],
    output:
        markdown=report(REPORTS[0], category="Results", caption="../report/results.rst"),
        latex=REPORTS[1],
        table=report(REPORTS[2], category="Results", caption="../report/results.rst"),
        page=REPORTS[3],
        figures=report(FIGURES, category="Figures", caption="../report/figures.rst"),
    log:
        LAYOUT.log("report", STUDY.name),
    shell:
        "fer --log {log:q} report --study {input.study:q}"
