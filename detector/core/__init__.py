"""What the models of records and of series share: artifact container, calibration, comparison, drift, neighbours."""
