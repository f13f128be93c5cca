"""`plumbline serve`: the process that runs monitors for months."""
