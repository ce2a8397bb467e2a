TRAINING_CODE = [f"fer/training/{name}.py" for name in ("loop", "data", "augmentation")]


rule train:
    input:
        crops=of_experiment(lambda experiment: LAYOUT.crops(experiment.dataset)),
        index=of_experiment(lambda experiment: LAYOUT.index(experiment.dataset)),
        split=of_experiment(lambda experiment: LAYOUT.split(experiment.dataset, experiment.protocol)),
        experiment="params/experiments/{experiment}.yaml",
        system=of_experiment(lambda experiment: params.system_file(experiment.system)),
        dataset=of_experiment(lambda experiment: params.dataset_file(experiment.dataset)),
        augmented=augmented,
        code=of_experiment(
            lambda experiment: [
                module("train"),
                *with_siblings("systems", experiment.system),
                *TRAINING_CODE,
            ]
        ),
    output:
        weights=RUN / WEIGHTS,
        history=RUN / HISTORY,
        parameters=RUN / PARAMETERS,
        environment=RUN / ENVIRONMENT,
    log:
        LAYOUT.log("train", "{experiment}.{fold}.{seed}"),
    threads: STUDY.threads
    resources:
        gpu=GPU,
    params:
        options=lambda wildcards: options(STUDY.recipe_overrides(wildcards.experiment), threads=STUDY.threads),
    shell:
        "fer --log {log:q} train {wildcards.experiment} --fold {wildcards.fold} --seed {wildcards.seed} {params.options}"
