"""Runs the work of commands on other processes and machines, through any `concurrent.futures.Executor`."""
