"""StatsD: the lines that applications send, read, added up and made metrics of."""
