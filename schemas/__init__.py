"""The contracts of Plumbline: configuration, frames, keys, tables and errors; imports nothing of ours."""
