"""The worker: prompt -> completion -> reward, stateless, started as a process; knows no policy."""
