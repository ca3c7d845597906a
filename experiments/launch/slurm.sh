#!/usr/bin/env bash
# Trains on several nodes of a Slurm cluster: one task a node, with all of its GPUs.
#
#     sbatch experiments/launch/slurm.sh --config my_config.py --run-dir /shared/runs/many
#
# Two minutes before time is up, and when the job is preempted, the run is saved; it then
# goes back to the queue and on from there.
#SBATCH --job-name=metaflax
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-gpu=8
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=TERM@120

# The processes find each other by what Slurm says. When one ends badly, so do all.
srun --kill-on-bad-exit=1 python -m metaflax train --distributed "$@"
status=$?

case $status in
    0 | 2) exit "$status" ;; # Finished, or wrong settings.
esac
if ((${SLURM_RESTART_COUNT:-0} < 20)); then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
