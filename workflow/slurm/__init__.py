"""Jobs on a SLURM cluster: how they start, what they ask for, and those left behind."""
