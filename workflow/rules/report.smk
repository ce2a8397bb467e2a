rule report:
    input:
        runs=[file for file in RUN_FILES if file.name != WEIGHTS],
        transfers=TRANSFERRED,
        explanations=[LAYOUT.explanation(name) for name in DRAWN],
        saliency=[LAYOUT.figure(name, "explain") for name in DRAWN],
        data=DATA_FACTS,
        indexes=[LAYOUT.index(dataset) for dataset in PROTOCOLS],
        splits=[LAYOUT.split(dataset, protocol) for dataset, wanted in PROTOCOLS.items() for protocol in wanted],
        sheets=SHEETS,
        params=LAYOUT.parameters("report"),
        code=LAYOUT.code("report"),
    output:
        markdown=report(REPORTS[0], category="Results", caption="../report/results.rst"),
        latex=REPORTS[1],
        table=report(REPORTS[2], category="Results", caption="../report/results.rst"),
        page=REPORTS[3],
        figures=report(FIGURES, category="Figures", caption="../report/figures.rst"),
        tables=TABLES,
        cards=CARDS,
    log:
        LAYOUT.log("report", STUDY.name),
    resources:
        mem_mb=memory("report"),
        runtime=runtime("report"),
    params:
        study=STUDY_FILE,
    message:
        f"report {STUDY.name}"
    shell:
        "fer --log {log:q} report --study {params.study:q}"
