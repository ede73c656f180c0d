"""The reconciler: watches a git repository and keeps each environment as it says.

Imports point downwards: cli -> loop -> reconcile -> ports -> core. It knows nothing of the
program that it runs; both meet in files and in the stack output `inventory`.
"""
