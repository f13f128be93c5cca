"""Everything that runs: sources, the store, use cases, the command line and the API."""
