def first_run(wildcards):
    """The folder of an experiment's first fold and first seed: the run that is explained."""
    fold = runs.experiment_folds(EXPERIMENTS[wildcards.experiment])[0]
    return LAYOUT.run(wildcards.experiment, fold, STUDY.seeds[0])


rule explain:
    input:
        weights=lambda wildcards: first_run(wildcards) / WEIGHTS,
        crops=of_experiment(lambda experiment: LAYOUT.crops(experiment.dataset)),
        index=of_experiment(lambda experiment: LAYOUT.index(experiment.dataset)),
        counts=of_experiment(lambda experiment: LAYOUT.counts(experiment.dataset)),
        split=of_experiment(lambda experiment: LAYOUT.split(experiment.dataset, experiment.protocol)),
        params="params/explain.yaml",
        experiment="params/experiments/{experiment}.yaml",
        system=of_experiment(lambda experiment: params.system_file(experiment.system)),
        dataset=of_experiment(lambda experiment: params.dataset_file(experiment.dataset)),
        code=of_experiment(
            lambda experiment: [
                module("explain"),
                *with_siblings("systems", experiment.system),
                *(
                    f"fer/explain/{name}.py"
                    for name in ("attention", "explanation", "gradcam", "occlusion", "passes", "planes", "scores")
                ),
                "fer/evaluation/metrics.py",
                "fer/reporting/saliency.py",
                "fer/training/data.py",
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
    threads: STUDY.threads
    params:
        run=lambda wildcards: "--fold {} --seed {}".format(*first_run(wildcards).name.rsplit(".", 1)),
        options=options(**STUDY.explain_overrides(), threads=STUDY.threads),
    shell:
        "fer --log {log:q} explain {wildcards.experiment} {params.run} {params.options}"
