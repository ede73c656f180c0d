"""The command line: wires the parts, prints, exits."""
