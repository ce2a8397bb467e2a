rule align:
    input:
        raw=LAYOUT.raw("{dataset}"),
        index=LAYOUT.index("{dataset}"),
        params="params/datasets/{dataset}.yaml",
        code=[
            module("align"),
            *(f"fer/faces/{name}.py" for name in ("landmarks", "crops", "fingerprint")),
        ],
    output:
        faces=LAYOUT.faces("{dataset}"),
        crops=LAYOUT.crops("{dataset}"),
        counts=LAYOUT.faces_counts("{dataset}"),
    log:
        LAYOUT.log("align", "{dataset}"),
    threads: DATA_THREADS
    params:
        options=options(),
    shell:
        "fer --log {log:q} align {wildcards.dataset} {params.options}"
