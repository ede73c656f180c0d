"""The Pulumi program: a declaration, and the resources that it describes."""
