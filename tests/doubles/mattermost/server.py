"""The double of Mattermost: reads the variables that the real one reads."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from contract import Rows, serve

source = urlsplit(os.environ["MM_SQLSETTINGS_DATASOURCE"])
# libpq knows the parameters that are given here, and the scheme by its other name too.
rows = Rows(urlunsplit(source._replace(scheme="postgresql")), "posts")
port = int(os.environ["MM_SERVICESETTINGS_LISTENADDRESS"].rpartition(":")[2])
for folder in ("config", "data", "logs", "plugins", "client/plugins"):
    # The real one writes into each of them, and fails where it may not.
    (Path("/mattermost") / folder / ".written").touch()
serve(port, "/api/v4/system/ping", rows, Path("/mattermost/data"), os.environ["MM_SERVICESETTINGS_SITEURL"])
