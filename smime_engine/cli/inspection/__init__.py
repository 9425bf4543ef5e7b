"""What `smime inspect` shows: bytes become a tree (`files`, `messages`, `binary`, `views`, `values`), and that becomes
text or JSON (`tree`).

Cold path, for people: structures are read through asn1crypto, not through the engine's own parsers, so that a message
which the engine refuses can still be looked at, and so that a fault of ours does not hide itself.
"""
