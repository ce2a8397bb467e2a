rule evaluate:
    input:
        weights=RUN / WEIGHTS,
        parameters=RUN / PARAMETERS,
        data=run_data,
        params=run_params,
        code=of_experiment(
            lambda experiment: [
                module("evaluate"),
                *code_of_run(experiment),
                "fer/evaluation/metrics.py",
                "fer/evaluation/cost.py",
                "fer/evaluation/robustness.py",
                "fer/training/prediction.py",
            ]
        ),
    output:
        predictions=RUN / PREDICTIONS,
        metrics=RUN / METRICS,
        confusion=RUN / CONFUSION,
        cost=RUN / COST,
        robustness=RUN / ROBUSTNESS,
    log:
        LAYOUT.log("evaluate", "{experiment}.{fold}.{seed}"),
    threads: JOB_THREADS
    params:
        options=options(threads=STUDY.threads, **STUDY.evaluate_options()),
    shell:
        "fer --log {log:q} evaluate {wildcards.experiment} --fold {wildcards.fold} --seed {wildcards.seed} {params.options}"
