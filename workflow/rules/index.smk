rule index:
    input:
        raw=LAYOUT.raw("{dataset}"),
        params=LAYOUT.parameters("index", "{dataset}"),
        code=lambda wildcards: LAYOUT.code("index", adapter(wildcards.dataset)),
    output:
        index=LAYOUT.index("{dataset}"),
        counts=LAYOUT.counts("{dataset}"),
    log:
        LAYOUT.log("index", "{dataset}"),
    resources:
        mem_mb=memory("index"),
        runtime=runtime("index"),
    params:
        options=options(),
    message:
        "index {wildcards.dataset}"
    shell:
        "fer --log {log:q} index {wildcards.dataset} {params.options}"
