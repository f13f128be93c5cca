"""The starter configuration."""
