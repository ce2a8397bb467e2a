# The networks of the experiments under `cross_dataset`, tested on one another's datasets: one job a run.
rule transfer:
    input:
        weights=RUN / WEIGHTS,
        parameters=RUN / PARAMETERS,
        seen=of_experiment(
            lambda experiment: [
                LAYOUT.faces(experiment.dataset),
                LAYOUT.index(experiment.dataset),
                LAYOUT.split(experiment.dataset, experiment.protocol),
            ]
        ),
        tested=lambda wildcards: [
            file
            for dataset, protocol in TRANSFERS[wildcards.experiment]
            for file in (
                *run_of(wildcards).data_of(dataset, protocol).values(),
                LAYOUT.faces(dataset),
                LAYOUT.raw(dataset),
            )
        ],
        params=lambda wildcards: [
            LAYOUT.parameters("transfer", dataset) for dataset, _ in TRANSFERS[wildcards.experiment]
        ],
        code=of_experiment(lambda experiment: LAYOUT.code("evaluate", experiment.system)),
    output:
        metrics=RUN / TRANSFER,
        predictions=RUN / TRANSFER_PREDICTIONS,
    log:
        LAYOUT.log("transfer", "{experiment}.{fold}.{seed}"),
    threads: job_threads
    resources:
        gpu=gpu,
        mem_mb=memory("transfer"),
        runtime=runtime("transfer"),
    params:
        on=lambda wildcards: shlex.join(
            word for pair in TRANSFERS[wildcards.experiment] for word in ("--on", ":".join(pair))
        ),
        options=options(threads=STUDY.threads),
    message:
        "transfer {wildcards.experiment} {wildcards.fold}.{wildcards.seed}"
    shell:
        "fer --log {log:q} evaluate {wildcards.experiment} --fold {wildcards.fold} --seed {wildcards.seed} {params.on} {params.options}"
