"""The backup agent of a service, and the snapshot before a change."""
