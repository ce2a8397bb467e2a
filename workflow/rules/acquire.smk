rule acquire:
    input:
        params=LAYOUT.parameters("acquire", "{dataset}"),
        code=lambda wildcards: LAYOUT.code("acquire", adapter(wildcards.dataset)),
    output:
        LAYOUT.raw("{dataset}"),
    log:
        LAYOUT.log("acquire", "{dataset}"),
    threads: data_threads
    resources:
        mem_mb=memory("acquire"),
        runtime=runtime("acquire"),
    params:
        options=lambda wildcards: options(**STUDY.dataset_overrides(wildcards.dataset)),
    message:
        "acquire {wildcards.dataset}"
    shell:
        "fer --log {log:q} acquire {wildcards.dataset} {params.options}"
