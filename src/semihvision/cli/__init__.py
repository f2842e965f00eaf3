"""One small file per command: parse, wire, call."""
