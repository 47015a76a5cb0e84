"""``mmash``: statistics files over HTTP, as JSON for programs and as live graphs for people."""
