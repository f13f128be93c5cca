"""How fast and how large: reading, scoring and the whole way, each beside a limit or a peer of the same run."""
