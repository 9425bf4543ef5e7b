"""The plain version of searching a revocation list: decode every entry, compare every serial number."""

from __future__ import annotations

from cryptography import x509

__all__ = ["entries_with"]


def entries_with(der: bytes, serial_number: int) -> list[tuple[int, str | None]]:
    """(revocation time as a POSIX number, reason or None) of every entry with this serial number, in their order."""
    found = []
    for entry in x509.load_der_x509_crl(der):
        if entry.serial_number == serial_number:
            try:
                reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason.value
            except x509.ExtensionNotFound:
                reason = None
            found.append((int(entry.revocation_date_utc.timestamp()), reason))
    return found
