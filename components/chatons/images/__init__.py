"""What is built here: the backup agent."""
