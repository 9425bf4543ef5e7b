"""Fuzz targets: one module per parser, run by `python -m fuzz`.

A target has `fuzz(data: bytes) -> None`, which raises only when the parser broke its promise (a result or
`MalformedMessage`, nothing else), and `seeds() -> list[bytes]`, valid inputs to start from, made at run time.
Modules whose names begin with an underscore are the harness.
"""
