rule report:
    input:
        study=STUDY_FILE,
        experiments=sorted({file for name in EXPERIMENTS for file in params.experiment_files(name)}),
        systems=sorted({params.system_file(experiment.system) for experiment in EXPERIMENTS.values()}),
        datasets=[params.dataset_file(dataset) for dataset in PROTOCOLS],
        runs=[
            run / name
            for run in RUNS
            for name in (
                PREDICTIONS,
                METRICS,
                COST,
                ROBUSTNESS,
                HISTORY,
                PARAMETERS,
                ENVIRONMENT,
                CONFUSION,
            )
        ],
        transfers=TRANSFERRED,
        explanations=[LAYOUT.explanation(name) for name in names.drawn(STUDY)],
        saliency=[LAYOUT.figure(name, "explain") for name in names.drawn(STUDY)],
        data=DATA_FACTS,
        indexes=[LAYOUT.index(dataset) for dataset in PROTOCOLS],
        sheets=[LAYOUT.figure(dataset, "faces") for dataset in PROTOCOLS],
        code=[
            module("report"),
            *(
                f"fer/reporting/{name}.py"
                for name in (
                    *("results", "data", "tables", "comparison", "autopsy", "names", "figures"),
                    *("significance", "transfer", "robustness", "calibration", "saliency"),
                )
            ),
            *(f"fer/reporting/templates/{name}.j2" for name in ("results.md", "index.html", "card.md")),
            "fer/evaluation/metrics.py",
            "fer/evaluation/significance.py",
            "fer/leakage.py",
        ],
    output:
        markdown=report(REPORTS[0], category="Results", caption="../report/results.rst"),
        latex=REPORTS[1],
        table=report(REPORTS[2], category="Results", caption="../report/results.rst"),
        page=REPORTS[3],
        figures=report(FIGURES, category="Figures", caption="../report/figures.rst"),
        tables=[LAYOUT.table(name, form) for name in names.tables(STUDY) for form in names.FORMS],
        cards=[LAYOUT.card(system) for system in names.systems(STUDY)],
    log:
        LAYOUT.log("report", STUDY.name),
    shell:
        "fer --log {log:q} report --study {input.study:q}"
