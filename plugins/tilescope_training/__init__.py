"""Training, evaluation and export of the shipped models; the only package that imports torch."""
