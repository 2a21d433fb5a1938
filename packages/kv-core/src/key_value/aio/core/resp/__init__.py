"""Code shared by the stores on Redis-compatible servers, independent of the driver: names, commands, scripts."""
