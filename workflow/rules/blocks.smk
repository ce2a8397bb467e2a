rule blocks:
    input:
        raw=LAYOUT.raw("{dataset}"),
        index=LAYOUT.index("{dataset}"),
        faces=LAYOUT.faces("{dataset}"),
        crops=LAYOUT.crops("{dataset}"),
        params=LAYOUT.parameters("blocks", "{dataset}"),
        code=LAYOUT.code("blocks"),
    output:
        boxes=LAYOUT.blocks("{dataset}"),
        eyes=LAYOUT.eyes("{dataset}"),
        mouth=LAYOUT.mouth("{dataset}"),
        sheet=LAYOUT.figure("{dataset}", "faces"),
    log:
        LAYOUT.log("blocks", "{dataset}"),
    threads: data_threads
    resources:
        mem_mb=memory("blocks"),
        runtime=runtime("blocks"),
    params:
        options=options(),
    message:
        "blocks {wildcards.dataset}"
    shell:
        "fer --log {log:q} blocks {wildcards.dataset} {params.options}"
