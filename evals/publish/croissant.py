"""`samples/croissant.json`: the tables of samples as Croissant 1.0, with the fields on responsible use (RAI 1.0).

Written by hand: mlcroissant, which reads it in the tests, brings packages that the workflow does not need.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from asymgrpo.files import sha256_file
from asymgrpo.tasks.spec import dataset_spec
from evals.artifacts.withheld import withheld_licence
from evals.publish.samples import MEANING, PROBLEMS, SCHEMA, licences
from evals.publish.source import PAPER, Source, write_document

CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "prov": "http://www.w3.org/ns/prov#",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The standard context of Croissant 1.0, and PROV."""
TYPES = {pa.string(): "sc:Text", pa.int32(): "sc:Integer", pa.bool_(): "sc:Boolean"}


def write(source: Source, folder: Path, rows: dict[str, int]) -> None:
    """Describe the tables in a folder; `rows`: file name -> rows."""
    write_document(document(source, folder, rows), folder / "croissant.json")


def document(source: Source, folder: Path, rows: dict[str, int]) -> dict[str, Any]:
    """The description as JSON-LD."""
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0"],
        "name": source.collection,
        "description": f"Graded responses of study {source.name}, a reproduction of arXiv:{PAPER}, with a verdict on each.",
        "license": [f"https://spdx.org/licenses/{name}.html" for name in licences(source)],
        "url": f"https://arxiv.org/abs/{PAPER}",
        "citeAs": f"The asymgrpo authors: a reproduction of arXiv:{PAPER}, study {source.name}.",
        "creator": {
            "@type": "sc:Organization",
            "name": "The asymgrpo authors",
            "url": f"https://arxiv.org/abs/{PAPER}",
        },
        "datePublished": source.date,
        "version": "1.0.0",
        "isLiveDataset": False,
        **responsible_use(source),
        "distribution": [_file(folder / name) for name in rows],
        "recordSet": [_records(name, PROBLEMS if name == "problems.parquet" else SCHEMA) for name in rows],
    }


def _file(path: Path) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": path.name,
        "name": path.name,
        "contentUrl": path.name,
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": "application/x-parquet",
        "sha256": sha256_file(path),
    }


def _records(name: str, schema: pa.Schema) -> dict[str, Any]:
    stem = name.removesuffix(".parquet")
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"{stem}/{column.name}",
            "name": f"{stem}/{column.name}",
            "description": MEANING[column.name],
            "dataType": TYPES[column.type],
            "source": {"fileObject": {"@id": name}, "extract": {"column": column.name}},
        }
        for column in schema
    ]
    about = "What was asked." if name == "problems.parquet" else f"The graded responses to the problems of {stem}."
    return {"@type": "cr:RecordSet", "@id": stem, "name": stem, "description": about, "field": fields}


def responsible_use(source: Source) -> dict[str, Any]:
    """The RAI fields that NeurIPS's Evaluations and Datasets track asks for, as far as a program can answer them."""
    hidden = [name for name in source.study.evaluation.benchmarks if withheld_licence(name)]
    small = [name for name in source.results.models if not source.of_paper(name)]
    limits = (
        "Responses of the checkpoints of one study to a few benchmarks of mathematics, with one prompt template each."
    )
    limits += f" {', '.join(small)}: not of the paper's size; what holds for it need not hold there." if small else ""
    limits += (
        f" Texts of {', '.join(hidden)} are left out, because their licence forbids passing them on." if hidden else ""
    )
    return {
        "rai:dataCollection": "Sampled from language models by a program, and graded by a program; no person took part.",
        "rai:dataCollectionType": ["Others"],
        "rai:dataLimitations": limits,
        "rai:dataBiases": "Problems with short answers that a program can check are over-represented. A verifier may accept a "
        "wrong answer or refuse a right one; second_correct shows where another grader differs.",
        "rai:personalSensitiveInformation": "None: problems of mathematics and what models wrote about them.",
        "rai:dataUseCases": "To compute the reproduction's numbers again, to compare graders, and to study how answers vary over "
        "samples and training seeds. Not for training: benchmarks would leak into the model.",
        "rai:dataSocialImpact": "Lets others check a claim about training without the cost of training. No harm is known.",
        "rai:hasSyntheticData": True,
        "rai:machineAnnotationTools": ["math-verify"],
        "rai:dataReleaseMaintenancePlan": "Made once by a program, and the same bytes whenever it is made again; errors are "
        "corrected in a new version.",
        "prov:wasGeneratedBy": f"asymgrpo at commit {', '.join(source.commits) or 'unknown'}, configuration "
        f"{source.results.config_sha256}; crate/ro-crate-metadata.json has the steps.",
        "prov:wasDerivedFrom": [_origin(name) for name in source.study.evaluation.benchmarks],
    }


def _origin(benchmark: str) -> str:
    spec = dataset_spec(benchmark)
    return f"https://huggingface.co/datasets/{spec.hub.id}" if spec.hub else spec.about
