"""Files of records into tables."""
