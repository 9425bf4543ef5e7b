"""Every exception that the engine raises.

An exception means "the question could not be answered": the input is malformed, a limit was hit, a key is
missing. "The answer is no" is never an exception: it is a report with named problems (`problems.py`).
"""

from __future__ import annotations

__all__ = [
    "ConfigurationError",
    "DecryptionFailed",
    "InvalidKey",
    "LimitExceeded",
    "MalformedMessage",
    "NoMatchingKey",
    "NotValid",
    "SmimeError",
    "SourceUnavailable",
    "UnsupportedAlgorithm",
]


class SmimeError(Exception):
    """Base of every exception of the engine; its text is one line that says what is wrong and what to do."""


class MalformedMessage(SmimeError):
    """The input does not have the structure that its standard demands.

    `offset` counts bytes from the start of the input of the parser that raised (None where no single byte is to
    blame); `expected` names what should have stood there.
    """

    def __init__(self, expected: str, *, offset: int | None = None) -> None:
        self.expected = expected
        self.offset = offset
        place = "" if offset is None else f" at offset {offset}"
        super().__init__(f"malformed input{place}: expected {expected}")


class LimitExceeded(MalformedMessage):
    """The input is larger, deeper or longer than `limits.Limits` allows; `limit` is the field's name."""

    def __init__(self, limit: str, allowed: int, *, offset: int | None = None) -> None:
        self.limit = limit
        self.allowed = allowed
        super().__init__(f"at most {allowed:,} ({limit})", offset=offset)


class UnsupportedAlgorithm(SmimeError):
    """An algorithm is asked for, or needed, that this engine does not have; `identifier` is its OID or name."""

    def __init__(self, identifier: str, *, purpose: str) -> None:
        self.identifier = identifier
        self.purpose = purpose
        super().__init__(f"unsupported {purpose} algorithm {identifier}")


class InvalidKey(SmimeError):
    """A private key or certificate file cannot be used: wrong password, wrong format, key and certificate differ."""


class NoMatchingKey(SmimeError):
    """The message is encrypted, and no key that was given fits any of its recipients."""

    def __init__(self) -> None:
        super().__init__("none of the given keys belongs to a recipient of this message")


class DecryptionFailed(SmimeError):
    """Decryption failed. Always this one text, whatever the cause: anything more would be an oracle (RFC 3218)."""

    def __init__(self) -> None:
        super().__init__("the message could not be decrypted")


class NotValid(SmimeError):
    """Raised by `require_valid()` alone: the caller demanded a VALID verdict and the report has another one."""


class ConfigurationError(SmimeError):
    """A setting is missing, unknown or contradicts another one."""


class SourceUnavailable(SmimeError):
    """A directory, database, token or server that is needed does not answer; trying again later may help."""
