# The only definition of the pipeline:
#     acquire → index → align → blocks → split → augment → train → evaluate → explain → report
# `dvc.yaml` is compiled from it (workflow/scripts/engines.py); what `all` makes is said by the study file
# (params/study.yaml, or another: --config study=params/studies/paper.yaml).


include: "workflow/rules/checksums.smk"
include: "workflow/rules/common.smk"
include: "workflow/rules/acquire.smk"
include: "workflow/rules/index.smk"
include: "workflow/rules/align.smk"
include: "workflow/rules/blocks.smk"
include: "workflow/rules/split.smk"
include: "workflow/rules/augment.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/transfer.smk"
include: "workflow/rules/explain.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        DATA,
        DATA_FACTS,
        SHEETS,
        [LAYOUT.figure(f"{run.name}.{run.fold}", "augment") for run in RUNS if run.variants],
        RUN_FILES,
        TRANSFERRED,
        EXPLANATIONS,
        REPORTS,
        FIGURES,
        TABLES,
        CARDS,
    message:
        "all"


onstart:
    checkout.owner()  # noted once, before the jobs that show their training in MLflow ask
    if reason := checkout.obstacle(LAYOUT.root):
        print(f"This run will not be recorded in DVC: {reason}", file=sys.stderr)
    machine.commit()  # git's refusal to name it is a warning before the first job, too
    if workflow.local_exec:
        # One machine shares its GPU; --resources gpu=4 where it has four. A cluster's scheduler knows its own.
        for limits in (workflow.scheduler.global_resources, workflow.scheduler.resources):
            limits.setdefault("gpu", 1)
        # Each job ever started makes the limit of jobs a second look, once a second, at every input of every job that
        # waits (Snakemake 9.27; see snakemake#3744): a third of a core after a hundred jobs. One machine needs no limit.
        if getattr(workflow.scheduler, "job_rate_limiter", None):
            workflow.scheduler.job_rate_limiter = None


# A last step, outside the DAG because it looks at the whole of it: record in DVC what was made.
onsuccess:
    shell("python workflow/scripts/engines.py record --study {config[study]:q}")
