"""The command line: parses, calls one job, prints; results on stdout, everything else on stderr."""
