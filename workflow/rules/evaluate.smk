rule evaluate:
    input:
        weights=RUN / WEIGHTS,
        parameters=RUN / PARAMETERS,
        data=run_data,
        params=LAYOUT.parameters("train", "{experiment}"),
        code=of_experiment(lambda experiment: LAYOUT.code("evaluate", experiment.system)),
    output:
        predictions=RUN / PREDICTIONS,
        metrics=RUN / METRICS,
        confusion=RUN / CONFUSION,
        cost=RUN / COST,
        robustness=RUN / ROBUSTNESS,
    log:
        LAYOUT.log("evaluate", "{experiment}.{fold}.{seed}"),
    threads: job_threads
    resources:
        gpu=gpu,
        mem_mb=memory("evaluate"),
        runtime=runtime("evaluate"),
    params:
        options=options(threads=STUDY.threads, **STUDY.evaluate_options()),
    message:
        "evaluate {wildcards.experiment} {wildcards.fold}.{wildcards.seed}"
    shell:
        "fer --log {log:q} evaluate {wildcards.experiment} --fold {wildcards.fold} --seed {wildcards.seed} {params.options}"
