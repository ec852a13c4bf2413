"""The gate: what a configuration file grants, against what is sound and what was seen. Pure."""
