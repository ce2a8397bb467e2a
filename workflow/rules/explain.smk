rule explain:
    input:
        weights=lambda wildcards: first_run(wildcards).folder / WEIGHTS,
        parameters=lambda wildcards: first_run(wildcards).folder / PARAMETERS,
        data=lambda wildcards: list(first_run(wildcards).data.values()),
        counts=of_experiment(lambda experiment: LAYOUT.counts(experiment.dataset)),
        params=run_params,
        explain="params/explain.yaml",
        code=of_experiment(
            lambda experiment: [
                module("explain"),
                module("evaluate"),
                *code_of_run(experiment),
                *(
                    f"fer/explain/{name}.py"
                    for name in ("attention", "explanation", "gradcam", "occlusion", "passes", "planes", "scores")
                ),
                "fer/evaluation/cost.py",
                "fer/evaluation/metrics.py",
                "fer/reporting/saliency.py",
            ]
        ),
    output:
        scores=LAYOUT.explanation("{experiment}"),
        maps=LAYOUT.explanation_maps("{experiment}"),
        figure=report(
            LAYOUT.figure("{experiment}", "explain"),
            category="Figures",
            caption="../report/explain.rst",
        ),
    log:
        LAYOUT.log("explain", "{experiment}"),
    threads: JOB_THREADS
    params:
        run=lambda wildcards: "--fold {0.fold} --seed {0.seed}".format(first_run(wildcards)),
        options=options(STUDY.explain_overrides(), threads=STUDY.threads),
    shell:
        "fer --log {log:q} explain {wildcards.experiment} {params.run} {params.options}"
