"""Read a published folder with the formats' own tools, in a process of its own: `read_by.py TOOL FOLDER ...` prints JSON.

Started with .venv-validators before the project's packages (requirements/validators.in); nothing here imports the project.
"""

import io
import json
import sys
from email.message import Message
from pathlib import Path
from urllib.response import addinfourl


def croissant(folder: Path) -> dict:
    """What mlcroissant finds wrong, and the records that it loads: record set -> first record and number of records."""
    import mlcroissant

    dataset = mlcroissant.Dataset(jsonld=folder / "croissant.json")
    issues = dataset.metadata.ctx.issues
    loaded = {}
    for records in dataset.metadata.record_sets:
        rows = [
            {key: value.decode() if isinstance(value, bytes) else str(value) for key, value in row.items()}
            for row in dataset.records(records.uuid)
        ]
        loaded[records.uuid] = {"rows": len(rows), "first": rows[0]}
    return {"errors": sorted(issues.errors), "warnings": sorted(issues.warnings), "records": loaded}


def of_1_1(context: Path) -> dict:
    """RO-Crate's context as version 1.1 has it, from that of a later version."""
    document = json.loads(context.read_text())
    kinds = {name: f"https://bioschemas.org/{name}" for name in ("ComputationalWorkflow", "FormalParameter")}
    ends = {name: f"https://bioschemas.org/ComputationalWorkflow#{name}" for name in ("input", "output")}
    document["@context"] |= kinds | ends
    return document


def crate(folder: Path, context: Path) -> list[list[str]]:
    """What rocrate-validator finds: severity, check, message. `context` stands for RO-Crate's own, which is not fetched."""
    import rdflib.parser
    import requests
    from rocrate_validator import models, services
    from rocrate_validator.utils.http import HttpRequester

    content = json.dumps(of_1_1(context)).encode()

    def opened(request, *_, **__):
        headers = Message()
        headers["Content-Type"] = "application/ld+json"
        return addinfourl(io.BytesIO(content), headers, getattr(request, "full_url", request), 200)

    def answered(*_, **__):
        response = requests.Response()
        response.status_code, response._content = 200, content
        response.headers["Content-Type"] = "application/ld+json"
        return response

    rdflib.parser._urlopen, HttpRequester.get = opened, answered
    settings = services.ValidationSettings(
        rocrate_uri=str(folder),
        profile_identifier="provenance-run-crate",
        requirement_severity=models.Severity.REQUIRED,
    )
    issues = services.validate(settings).get_issues()
    return [[issue.severity.name, str(issue.check.identifier), str(issue.message)] for issue in issues]


def questions(folder: Path, context: Path) -> list[list[str]]:
    """What a stranger asks of the crate, in SPARQL: which program made a file, in which image, and for how many seconds."""
    import rdflib

    document = json.loads((folder / "ro-crate-metadata.json").read_text())
    document["@context"][0] = of_1_1(context)["@context"]
    graph = rdflib.Graph().parse(data=json.dumps(document), format="json-ld", publicID="http://crate/")
    asked = """
        PREFIX s: <http://schema.org/>
        PREFIX w: <https://w3id.org/ro/terms/workflow-run#>
        SELECT ?made ?program ?seconds ?digest WHERE {
            ?action a s:CreateAction ; s:result/s:name ?made ; s:instrument/s:name ?program ; w:resourceUsage ?usage .
            ?usage s:name "wall time" ; s:value ?seconds .
            OPTIONAL { ?action w:containerImage/w:sha256 ?digest }
        } ORDER BY ?made"""
    return [[None if value is None else str(value) for value in row] for row in graph.query(asked)]


if __name__ == "__main__":
    tools = {tool.__name__: tool for tool in (croissant, crate, questions)}
    print(json.dumps(tools[sys.argv[1]](*map(Path, sys.argv[2:]))))
