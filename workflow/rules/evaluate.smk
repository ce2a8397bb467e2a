rule evaluate:
    input:
        weights=RUN / WEIGHTS,
        crops=of_experiment(lambda experiment: LAYOUT.crops(experiment.dataset)),
        index=of_experiment(lambda experiment: LAYOUT.index(experiment.dataset)),
        split=of_experiment(lambda experiment: LAYOUT.split(experiment.dataset, experiment.protocol)),
        experiment="params/experiments/{experiment}.yaml",
        system=of_experiment(lambda experiment: params.system_file(experiment.system)),
        dataset=of_experiment(lambda experiment: params.dataset_file(experiment.dataset)),
        code=of_experiment(
            lambda experiment: [
                module("evaluate"),
                *with_siblings("systems", experiment.system),
                "fer/evaluation/metrics.py",
                "fer/evaluation/cost.py",
                "fer/training/data.py",
            ]
        ),
    output:
        predictions=RUN / PREDICTIONS,
        metrics=RUN / METRICS,
        confusion=RUN / CONFUSION,
        cost=RUN / COST,
    log:
        LAYOUT.log("evaluate", "{experiment}.{fold}.{seed}"),
    threads: STUDY.threads
    params:
        options=options(threads=STUDY.threads),
    shell:
        "fer --log {log:q} evaluate {wildcards.experiment} --fold {wildcards.fold} --seed {wildcards.seed} {params.options}"
