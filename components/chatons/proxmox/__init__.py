"""Virtual machines on Proxmox VE: its API, checks, resources and hooks."""
