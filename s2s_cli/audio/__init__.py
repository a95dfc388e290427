"""Sound files and what is computed from them; knows no network."""
