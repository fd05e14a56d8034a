"""Many simulated calls on executors: processes of this machine, a Dask cluster, or any other."""
