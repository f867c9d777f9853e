"""Engine clusters: workers of gearman, ipython, zmq or dask, launched by hand or over ssh."""
