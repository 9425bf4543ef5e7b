"""Benchmarks against the raw primitives and other implementations, measured in one run: see bench/README.md."""
