"""What the engine can do, as a table of contents.

| function | what it does | where |
|---|---|---|
| `open_message`, `open_cms` | peel all layers of a message, or of a bare CMS object, and judge them | `opening.py` |
| `MessageSigner` | sign messages, everything constant precomputed | `signing.py` |
| `MessageEncryptor`, `MessageCompressor` | encrypt for recipients; compress | `sealing.py` |
| `seal_message` | apply any of these in any order | `sealing.py` |
| `seal_copies` | the same for each copy that Bcc recipients need | `copies.py` |

Only this layer knows both MIME and CMS. It does no I/O.
"""

from __future__ import annotations

from smime_engine.engine.copies import SealedCopy, seal_copies
from smime_engine.engine.opening import open_cms, open_message
from smime_engine.engine.sealing import HeaderProtection, MessageCompressor, MessageEncryptor, Step, seal_message
from smime_engine.engine.signing import MessageSigner

__all__ = [
    "HeaderProtection",
    "MessageCompressor",
    "MessageEncryptor",
    "MessageSigner",
    "SealedCopy",
    "Step",
    "open_cms",
    "open_message",
    "seal_copies",
    "seal_message",
]
