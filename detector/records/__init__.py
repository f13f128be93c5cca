"""Models of single records: encoding, networks, scores and their artifact."""
