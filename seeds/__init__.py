"""Data that ships with cmvigil: the default knowledge, example sites and example logs."""
