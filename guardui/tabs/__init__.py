"""One tab a file. A tab wires components to functions; the work itself is elsewhere."""
