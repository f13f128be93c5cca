"""What runs: sources, the store, use cases, and the faces of Plumbline."""
