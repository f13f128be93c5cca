"""The contracts of Plumbline: configuration, frames, keys, tables and errors. They import nothing of ours."""
