TRAINING_CODE = [
    *(f"fer/training/{name}.py" for name in ("loop", "augmentation", "averaging", "prediction", "schedule", "targets")),
]


rule train:
    input:
        data=run_data,
        networks=other_networks,
        pretrained=pretrained,
        params=run_params,
        code=of_experiment(
            lambda experiment: [
                module("train"),
                *code_of_run(experiment),
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
    threads: JOB_THREADS
    resources:
        gpu=GPU,
    params:
        options=lambda wildcards: options(run_overrides(wildcards), threads=STUDY.threads),
    shell:
        "fer --log {log:q} train {wildcards.experiment} --fold {wildcards.fold} --seed {wildcards.seed} {params.options}"
