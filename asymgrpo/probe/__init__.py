"""One-update probes: from one state every arm makes its update, and held-out responses are scored again (docs/probe.md)."""
