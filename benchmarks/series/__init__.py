"""The benchmark on time series of sensors: data, measures, and the compared methods."""
