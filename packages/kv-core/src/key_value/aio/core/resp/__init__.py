"""What stores on servers of the Redis family have in common, whichever driver sends it: names, commands, scripts."""
