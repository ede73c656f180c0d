"""Virtual machines on Proxmox VE: API client, checks, resources and hooks."""
