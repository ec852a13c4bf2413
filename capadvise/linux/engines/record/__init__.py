"""Recording the containers that an engine's client starts, and trials of them."""
