"""What models of records and of series share: calibration, comparison, drift, neighbours."""
