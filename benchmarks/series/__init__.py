"""The benchmark on time series of sensors: data, measures, methods and reports."""
