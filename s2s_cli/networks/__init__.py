"""Neural networks: each a frozen config and a forward; knows no file."""
