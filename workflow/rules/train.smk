rule train:
    input:
        data=run_data,
        networks=networks,
        params=LAYOUT.parameters("train", "{experiment}"),
        code=lambda wildcards: code_of_run("train", wildcards),
    output:
        weights=RUN / WEIGHTS,
        history=RUN / HISTORY,
        parameters=RUN / PARAMETERS,
        environment=RUN / ENVIRONMENT,
    log:
        LAYOUT.log("train", "{experiment}.{fold}.{seed}"),
    threads: job_threads
    resources:
        gpu=gpu,
        mem_mb=memory("train"),
        runtime=runtime("train"),
    params:
        options=lambda wildcards: options(run_overrides(wildcards), threads=STUDY.threads, **STUDY.train_options()),
    message:
        "train {wildcards.experiment} {wildcards.fold}.{wildcards.seed}"
    shell:
        "fer --log {log:q} train {wildcards.experiment} --fold {wildcards.fold} --seed {wildcards.seed} {params.options}"
