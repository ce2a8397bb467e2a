# The only definition of the pipeline:
#     acquire → index → align → blocks → split → augment → train → evaluate → explain → report
# `dvc.yaml` is compiled from it (workflow/scripts/engines.py); what `all` makes is said by the study file
# (params/study.yaml, or another: --config study=params/studies/paper.yaml).


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
        REPORTS,
        DATA,


onstart:
    if workflow.local_exec:
        # Each job ever started makes the limit of jobs a second look, once a second, at every input of every job that
        # waits (Snakemake 9.27): a third of a core after a hundred jobs. A machine of one's own needs no such limit.
        workflow.scheduler.job_rate_limiter = None
        if sys.platform == "linux":
            warm.start()


# A last step, outside the DAG because it looks at the whole of it: record in DVC what was made.
onsuccess:
    shell("python workflow/scripts/engines.py record --study {config[study]:q}")
