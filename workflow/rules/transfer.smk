# The experiments under `cross_dataset` are tested on one another's datasets. A rule for each experiment, since what its
# jobs make depends on it; a job does all datasets of a run in one process.
for trained_on, others in TRANSFERS.items():

    rule:
        name:
            f"transfer-{trained_on}"
        input:
            weights=LAYOUT.run(trained_on, "{fold}", "{seed}") / WEIGHTS,
            parameters=LAYOUT.run(trained_on, "{fold}", "{seed}") / PARAMETERS,
            seen=[
                LAYOUT.faces(EXPERIMENTS[trained_on].dataset),
                LAYOUT.split(EXPERIMENTS[trained_on].dataset, EXPERIMENTS[trained_on].protocol),
            ],
            tested=[
                file
                for other in others
                for file in (
                    *runs.transfer_runs(STUDY, trained_on)[0].data_of(*other).values(),
                    LAYOUT.faces(other[0]),
                )
            ],
            params=[
                *params.experiment_files(trained_on),
                params.system_file(EXPERIMENTS[trained_on].system),
                params.dataset_file(EXPERIMENTS[trained_on].dataset),
                *(params.dataset_file(dataset) for dataset, _ in others),
            ],
            code=[
                module("evaluate"),
                *with_siblings("systems", EXPERIMENTS[trained_on].system),
                "fer/expressions.py",
                "fer/networks.py",
                "fer/training/prediction.py",
                "fer/evaluation/metrics.py",
                "fer/evaluation/transfer.py",
                "fer/training/data.py",
            ],
        output:
            metrics=[on(LAYOUT.run(trained_on, "{fold}", "{seed}"), *other, METRICS) for other in others],
            predictions=[on(LAYOUT.run(trained_on, "{fold}", "{seed}"), *other, PREDICTIONS) for other in others],
        log:
            LAYOUT.log("transfer", f"{trained_on}.{{fold}}.{{seed}}"),
        threads: JOB_THREADS
        params:
            experiment=trained_on,
            on=shlex.join(word for other in others for word in ("--on", ":".join(other))),
            options=options(threads=STUDY.threads),
        shell:
            "fer --log {log:q} evaluate {params.experiment} --fold {wildcards.fold} --seed {wildcards.seed} {params.on} {params.options}"
