"""Where cells are learned when there are many: processes of this machine, a Ray cluster, Slurm."""
