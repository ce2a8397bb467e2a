rule align:
    input:
        raw=LAYOUT.raw("{dataset}"),
        index=LAYOUT.index("{dataset}"),
        params=LAYOUT.parameters("align", "{dataset}"),
        code=LAYOUT.code("align"),
    output:
        faces=LAYOUT.faces("{dataset}"),
        crops=LAYOUT.crops("{dataset}"),
        counts=LAYOUT.faces_counts("{dataset}"),
    log:
        LAYOUT.log("align", "{dataset}"),
    threads: data_threads
    resources:
        mem_mb=memory("align"),
        runtime=runtime("align"),
    params:
        options=options(),
    message:
        "align {wildcards.dataset}"
    shell:
        "fer --log {log:q} align {wildcards.dataset} {params.options}"
