"""Time series of sensors: data, measures, and the methods that are compared."""
