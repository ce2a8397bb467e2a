rule acquire:
    input:
        params="params/datasets/{dataset}.yaml",
        code=lambda wildcards: [
            module("acquire"),
            *adapter(wildcards.dataset),
            "fer/datasets/synthetic.py",
            *(f"fer/sources/{name}.py" for name in ("archives", "guard", "reading", "seven_zip")),
        ],
    output:
        LAYOUT.raw("{dataset}"),
    log:
        LAYOUT.log("acquire", "{dataset}"),
    threads: DATA_THREADS
    params:
        options=lambda wildcards: options(**STUDY.dataset_overrides(wildcards.dataset)),
    shell:
        "fer --log {log:q} acquire {wildcards.dataset} {params.options}"
