"""Every error that the program raises on purpose, as a tree.

```text
* ChatonsError
  x DeclarationError        schema.problems          the declaration cannot be used; holds every problem
  x StackFileError          declaration.stack_file   the file cannot be read as a stack file
  x EndpointError           docker.endpoint          the Docker of a machine gave no answer
    + NoContainerError                               it answered: there is no container of that name
  x NoSnapshotError         backup.hook              no snapshot before a change, so the change is refused
  x RecreatedError           backup.data_hook         a service would start on data that were recreated
  x MachineError            machine.remote           a machine cannot be reached, or its setup failed
  x ProxmoxError            proxmox.api              the cluster refused a request, or gave no answer
  x RefusedError            proxmox.guards           a change would take over or forget a virtual machine
  x ProtectedError          proxmox.hooks            a change would delete a protected virtual machine
```

Each class stands in the module that raises it; this module has only their root. Anything else that leaves the
program is a defect. The text of each error says what failed and what to do about it.
"""

from __future__ import annotations


class ChatonsError(Exception):
    """Something failed that a person can correct; the text says what failed and what to do."""
