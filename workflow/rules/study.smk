# The whole configuration beside the results, for readers: no result depends on it.
CONFIGURATION = stored.configuration(STUDY)


localrules:
    study,


rule study:
    input:
        again=lambda w: STALE.check_text(PATHS.study, stored.document(CONFIGURATION)),
    output:
        PATHS.study,
    log:
        PATHS.log("study"),
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=GIVEN_SETTINGS.file({"of": "study"} | CONFIGURATION),
    shell:
        "{PYTHON} workflow.document --settings {params.settings:q} --out {output:q} > {log:q} 2>&1"


# What was declared before the runs, beside their results.
if PROTOCOL:

    localrules:
        protocol,

    rule protocol:
        input:
            again=lambda w: STALE.check_text(PATHS.protocol, stored.document(PROTOCOL)),
        output:
            PATHS.protocol,
        log:
            PATHS.log("protocol"),
        threads: 1
        resources:
            mem_mb=1000,
            runtime=10,
        params:
            settings=GIVEN_SETTINGS.file({"of": "protocol"} | PROTOCOL),
        shell:
            "{PYTHON} workflow.document --settings {params.settings:q} --out {output:q} > {log:q} 2>&1"
