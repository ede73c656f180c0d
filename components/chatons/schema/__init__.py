"""What a stack file may declare: models, values, and what a problem with one looks like."""
