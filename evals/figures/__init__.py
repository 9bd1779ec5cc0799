"""The figures of a study: Parquet in; PDF, PNG, SVG and a sidecar with the hashes out. table.py lists them."""
