"""The store of records and history, in SQL."""
