"""Internet messages: parse, classify, canonicalise and compose MIME without ever re-encoding what was signed."""
