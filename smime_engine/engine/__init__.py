"""What the engine can do, as a table of contents.

| function | what it does | where |
|---|---|---|
| `open_message`, `open_cms` | peel all layers of a message, or of a bare CMS object, and judge them | `opening.py` |
| `MessageSigner` | sign messages, everything constant precomputed | `signing.py` |

Only this layer knows both MIME and CMS. It does no I/O.
"""

from __future__ import annotations

from smime_engine.engine.opening import open_cms, open_message
from smime_engine.engine.signing import MessageSigner

__all__ = ["MessageSigner", "open_cms", "open_message"]
