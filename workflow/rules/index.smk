rule index:
    input:
        raw=LAYOUT.raw("{dataset}"),
        params="params/datasets/{dataset}.yaml",
        code=[module("index"), "fer/datasets/{dataset}.py"],
    output:
        index=LAYOUT.index("{dataset}"),
        counts=LAYOUT.counts("{dataset}"),
    params:
        options=options(),
    log:
        LAYOUT.log("index", "{dataset}"),
    shell:
        "fer --log {log:q} index {wildcards.dataset} {params.options}"
