# The whole configuration beside the results, for readers: no result depends on it.
CONFIGURATION = common.document(common.configuration(STUDY))


localrules:
    study,


rule study:
    input:
        again=lambda w: STALE.check_text(PATHS.study, CONFIGURATION),
    output:
        PATHS.study,
    log:
        PATHS.log("study"),
    threads: 1
    params:
        text=CONFIGURATION,
    shell:
        "{PYTHON} workflow.document --text {params.text:q} --out {output:q} > {log:q} 2>&1"
