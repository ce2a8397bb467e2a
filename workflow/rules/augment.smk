rule augment:
    input:
        crops=of_experiment(lambda experiment: LAYOUT.crops(experiment.dataset)),
        index=of_experiment(lambda experiment: LAYOUT.index(experiment.dataset)),
        split=of_experiment(lambda experiment: LAYOUT.split(experiment.dataset, experiment.protocol)),
        params=lambda wildcards: params.experiment_files(wildcards.experiment),
        system=of_experiment(lambda experiment: params.system_file(experiment.system)),
        code=[module("augment"), "fer/training/offline.py", "fer/reporting/sheets.py"],
    output:
        variants=LAYOUT.augmented("{experiment}", "{fold}"),
        index=LAYOUT.augmented_index("{experiment}", "{fold}"),
        sheet=report(
            LAYOUT.figure("{experiment}.{fold}", "augment"),
            category="Data",
            caption="../report/augment.rst",
        ),
    log:
        LAYOUT.log("augment", "{experiment}.{fold}"),
    threads: DATA_THREADS
    params:
        options=lambda wildcards: options(run_overrides(wildcards)),
    shell:
        "fer --log {log:q} augment {wildcards.experiment} --fold {wildcards.fold} {params.options}"
