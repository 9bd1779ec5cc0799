"""One module and one function per figure: Parquet in; PDF, PNG, SVG and a sidecar with the hashes out."""
