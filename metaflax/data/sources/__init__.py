"""Loading of labelled texts from files and data sets, and their splits."""

__all__ = ()
