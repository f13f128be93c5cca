"""Parts shared by models of records and of series: artifact container, calibration, comparison, drift, neighbours."""
