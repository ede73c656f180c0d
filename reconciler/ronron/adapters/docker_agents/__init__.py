"""Docker as an adapter: backup agents, restores, drills, and whether machines answer."""
