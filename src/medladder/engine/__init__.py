"""Who does the work: processes of this machine, any executor of Python's, or a Dask cluster."""
