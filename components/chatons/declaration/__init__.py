"""From the plain configuration of a stack to a checked declaration with every default filled in."""
