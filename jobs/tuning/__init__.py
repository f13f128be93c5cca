"""Settings of alarms that are tried on scored history before they are stored: rates and rules of alerts."""
