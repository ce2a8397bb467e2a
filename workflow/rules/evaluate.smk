rule evaluate:
    input:
        weights=RUN / WEIGHTS,
        trained=[RUN / name for name in (HISTORY, PARAMETERS, ENVIRONMENT)],
        data=run_data,
        code=of_experiment(lambda experiment: LAYOUT.code("evaluate", experiment.system)),
    output:
        predictions=RUN / PREDICTIONS,
        metrics=RUN / METRICS,
        confusion=RUN / CONFUSION,
        summary=RUN / SUMMARY,
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
