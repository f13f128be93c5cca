"""The commands; each imports what it needs when it runs, so that help and status start at once."""
