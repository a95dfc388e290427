"""One module per verb: parse, one call, say where the result is."""
