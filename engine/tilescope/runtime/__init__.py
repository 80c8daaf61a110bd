"""Threads, waiting and memory: the only package that starts a thread or blocks on one."""
