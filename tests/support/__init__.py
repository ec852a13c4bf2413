"""What tests share. A test imports from here, from its own package's helpers, and from no test."""
