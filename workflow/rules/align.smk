rule align:
    input:
        raw=LAYOUT.raw("{dataset}"),
        params="params/datasets/{dataset}.yaml",
        code=[module("align"), "fer/faces/landmarks.py", "fer/faces/crops.py"],
    output:
        faces=LAYOUT.faces("{dataset}"),
        crops=LAYOUT.crops("{dataset}"),
    log:
        LAYOUT.log("align", "{dataset}"),
    threads: 8
    params:
        options=options(),
    shell:
        "fer --log {log:q} align {wildcards.dataset} {params.options}"
