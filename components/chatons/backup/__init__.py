"""The backup agent of a service, and the hook that takes a snapshot before a change."""
