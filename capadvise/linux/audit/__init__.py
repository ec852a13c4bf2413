"""The kernel's audit records: read from logs, and heard live. Who refused, never what was granted:
no record is made of a check that was answered with yes."""
