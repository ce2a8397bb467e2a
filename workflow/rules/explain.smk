rule explain:
    input:
        weights=lambda wildcards: first_run(wildcards).folder / WEIGHTS,
        parameters=lambda wildcards: first_run(wildcards).folder / PARAMETERS,
        data=lambda wildcards: list(first_run(wildcards).data.values()),
        explain=LAYOUT.parameters("explain"),
        code=of_experiment(lambda experiment: LAYOUT.code("explain", experiment.system)),
    output:
        scores=LAYOUT.explanation("{experiment}"),
        maps=LAYOUT.explanation_maps("{experiment}"),
        figure=LAYOUT.figure("{experiment}", "explain"),
    log:
        LAYOUT.log("explain", "{experiment}"),
    threads: job_threads
    resources:
        gpu=gpu,
        mem_mb=memory("explain"),
        runtime=runtime("explain"),
    params:
        run=lambda wildcards: "--fold {0.fold} --seed {0.seed}".format(first_run(wildcards)),
        options=options(STUDY.explain_overrides(), threads=STUDY.threads),
    message:
        "explain {wildcards.experiment}"
    shell:
        "fer --log {log:q} explain {wildcards.experiment} {params.run} {params.options}"
