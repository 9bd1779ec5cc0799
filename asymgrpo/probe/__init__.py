"""One-update probes: from one state of a run every arm makes its update, and held-out responses are scored again (docs/probe.md)."""
