# The report in three steps: the figures of an experiment, which an added one draws alone; the tables; the page.


rule report_figures:
    input:
        summaries=lambda wildcards: [run.folder / SUMMARY for run in runs_of(wildcards)],
        code=LAYOUT.code("figures"),
    output:
        [LAYOUT.figure_of("{experiment}", kind) for kind in names.FIGURES],
    log:
        LAYOUT.log("report", "figures.{experiment}"),
    resources:
        mem_mb=memory("report"),
        runtime=runtime("report"),
    params:
        runs=shown_runs,
        options=options(),
    message:
        "report figures of {wildcards.experiment}"
    shell:
        "fer --log {log:q} report figures {wildcards.experiment} {params.runs} {params.options}"


rule report_tables:
    input:
        summaries=[run.folder / SUMMARY for run in RUNS],
        transfers=[file for file in TRANSFERRED if file.name == TRANSFER],
        external=EXTERNAL,
        explanations=[LAYOUT.explanation(name) for name in DRAWN],
        data=DATA_FACTS,
        params=LAYOUT.parameters("report"),
        code=LAYOUT.code("tables"),
    output:
        latex=LAYOUT.reports() / "results.tex",
        table=LAYOUT.reports() / "results.csv",
        results=LAYOUT.results(),
        tables=TABLES,
    log:
        LAYOUT.log("report", "tables"),
    resources:
        mem_mb=memory("report"),
        runtime=runtime("report"),
    params:
        study=STUDY_FILE,
    message:
        "report tables"
    shell:
        "fer --log {log:q} report tables --study {params.study:q}"


rule report_page:
    input:
        results=LAYOUT.results(),
        figures=FIGURES,
        saliency=[LAYOUT.figure(name, "explain") for name in DRAWN],
        sheets=SHEETS,
        code=LAYOUT.code("page"),
    output:
        markdown=LAYOUT.reports() / "results.md",
        page=LAYOUT.reports() / "index.html",
        cards=CARDS,
    log:
        LAYOUT.log("report", "page"),
    resources:
        mem_mb=memory("report"),
        runtime=runtime("report"),
    params:
        options=options(),
    message:
        "report page"
    shell:
        "fer --log {log:q} report page {params.options}"
