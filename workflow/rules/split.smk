rule split:
    input:
        index=LAYOUT.index("{dataset}"),
        faces=LAYOUT.faces("{dataset}"),
        code=[module("split"), "fer/protocols.py"],
    output:
        LAYOUT.split("{dataset}", "{protocol}"),
    log:
        LAYOUT.log("split", "{dataset}.{protocol}"),
    params:
        options=options(),
    shell:
        "fer --log {log:q} split {wildcards.dataset} {wildcards.protocol} {params.options}"
