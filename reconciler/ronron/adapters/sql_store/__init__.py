"""SQL as a store of records and history."""
