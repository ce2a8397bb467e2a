rule augment:
    input:
        crops=of_experiment(lambda experiment: LAYOUT.crops(experiment.dataset)),
        index=of_experiment(lambda experiment: LAYOUT.index(experiment.dataset)),
        split=of_experiment(lambda experiment: LAYOUT.split(experiment.dataset, experiment.protocol)),
        params=LAYOUT.parameters("augment", "{experiment}"),
        code=LAYOUT.code("augment"),
    output:
        variants=LAYOUT.augmented("{experiment}", "{fold}"),
        index=LAYOUT.augmented_index("{experiment}", "{fold}"),
        sheet=LAYOUT.figure("{experiment}.{fold}", "augment"),
    log:
        LAYOUT.log("augment", "{experiment}.{fold}"),
    threads: data_threads
    resources:
        mem_mb=memory("augment"),
        runtime=runtime("augment"),
    params:
        options=lambda wildcards: options(run_overrides(wildcards)),
    message:
        "augment {wildcards.experiment} {wildcards.fold}"
    shell:
        "fer --log {log:q} augment {wildcards.experiment} --fold {wildcards.fold} {params.options}"
