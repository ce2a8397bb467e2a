rule split:
    input:
        raw=LAYOUT.raw("{dataset}"),
        index=LAYOUT.index("{dataset}"),
        faces=LAYOUT.faces("{dataset}"),
        crops=LAYOUT.crops("{dataset}"),
        params=LAYOUT.parameters("split", "{dataset}"),
        code=LAYOUT.code("split"),
    output:
        split=LAYOUT.split("{dataset}", "{protocol}"),
        audit=LAYOUT.audit("{dataset}", "{protocol}"),
        page=LAYOUT.audit_page("{dataset}", "{protocol}"),
    log:
        LAYOUT.log("split", "{dataset}.{protocol}"),
    resources:
        mem_mb=memory("split"),
        runtime=runtime("split"),
    params:
        options=options(seed=STUDY.split_seed),
    message:
        "split {wildcards.dataset} {wildcards.protocol}"
    shell:
        "fer --log {log:q} split {wildcards.dataset} {wildcards.protocol} {params.options}"
