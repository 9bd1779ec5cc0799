"""Validate an RO-Crate with rocrate-validator, without a network: `python tests/artifacts/validate_crate.py FOLDER CONTEXT`.

Not part of the tests, because roc-validator 0.13 wants an older rich than the workflow. In an environment of its own:

    python -m venv VENV && VENV/bin/pip install roc-validator
    VENV/bin/python tests/artifacts/validate_crate.py results .venv/lib/python3.11/site-packages/rocrate/data/ro-crate.jsonld

CONTEXT stands for https://w3id.org/ro/crate/1.1/context; the one that the library rocrate carries has all terms of that one.
"""

import io
import sys
from email.message import Message
from pathlib import Path
from urllib.response import addinfourl

import rdflib.parser
import requests
from rocrate_validator import models, services
from rocrate_validator.utils.http import HttpRequester


def main(folder: str, context: Path) -> int:
    content = context.read_bytes()

    def opened(request, *_, **__):
        headers = Message()
        headers["Content-Type"] = "application/ld+json"
        return addinfourl(io.BytesIO(content), headers, getattr(request, "full_url", request), 200)

    def answered(*_, **__):
        response = requests.Response()
        response.status_code, response._content = 200, content
        response.headers["Content-Type"] = "application/ld+json"
        return response

    rdflib.parser._urlopen = opened
    HttpRequester.get = answered
    settings = services.ValidationSettings(
        rocrate_uri=folder, profile_identifier="process-run-crate", requirement_severity=models.Severity.RECOMMENDED
    )
    issues = services.validate(settings).get_issues()
    for issue in issues:
        print(issue.severity.name, issue.check.identifier, issue.message)
    required = sum(issue.severity is models.Severity.REQUIRED for issue in issues)
    print(f"{folder}: {required} violations of what is required, {len(issues) - required} of what is recommended")
    return min(required, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
