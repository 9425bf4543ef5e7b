"""An SMTP relay that signs outbound mail: SMTP in, S/MIME by the engine, SMTP out."""
