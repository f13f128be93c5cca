"""Records of watched tables, read only."""
