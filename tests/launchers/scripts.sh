slurm-1.sh:
#!/bin/bash
#SBATCH --job-name=dxbench-SWEEP
#SBATCH --array=0-1%4
#SBATCH --output=logs/slurm-1_%a.log
#SBATCH --gres=gpu:a100:1
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --open-mode=append
#SBATCH --partition=gpu
#SBATCH --requeue
#SBATCH --signal=B:TERM@60
#SBATCH --time=2:00:00

# Cells of a sweep by dxbench, as an array: task i runs the i-th of these chunks of cells.jsonl. It may be submitted by
# hand from the folder where it lies, again too: cells that have a record are passed over, others go on from their
# checkpoint. For PBS or LSF change the lines above, and the line that says which task this is.
chunks=(
  0
  1
)
task=$SLURM_ARRAY_TASK_ID  # PBS: $PBS_ARRAY_INDEX; LSF, which counts from 1: $((LSB_JOBINDEX - 1))
export DXBENCH_HOME=/there/home
export DXBENCH_RESULTS=/there/home/results
export DXBENCH_DATA=/data
export DXBENCH_CACHE=/there/home/cache
cd /there || exit

# exec, so that the scheduler's SIGTERM reaches the process that saves its state.
exec /bin/python -m dxbench run --cells /there/home/sweeps/SWEEP/cells.jsonl"[${chunks[$task]}]" --device auto --devices 1 --accumulate 1 --checkpoint-every 30.0 --jobs 1 --retries 0 --timeout 90.0s

slurm-2.sh, once slurm-1.sh has ended:
#!/bin/bash
#SBATCH --job-name=dxbench-SWEEP
#SBATCH --array=0-3%4
#SBATCH --output=logs/slurm-2_%a.log
#SBATCH --gres=gpu:a100:1
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --open-mode=append
#SBATCH --partition=gpu
#SBATCH --requeue
#SBATCH --signal=B:TERM@60
#SBATCH --time=2:00:00

# Cells of a sweep by dxbench, as an array: task i runs the i-th of these chunks of cells.jsonl. It may be submitted by
# hand from the folder where it lies, again too: cells that have a record are passed over, others go on from their
# checkpoint. For PBS or LSF change the lines above, and the line that says which task this is.
chunks=(
  2
  3
  4
  5
)
task=$SLURM_ARRAY_TASK_ID  # PBS: $PBS_ARRAY_INDEX; LSF, which counts from 1: $((LSB_JOBINDEX - 1))
export DXBENCH_HOME=/there/home
export DXBENCH_RESULTS=/there/home/results
export DXBENCH_DATA=/data
export DXBENCH_CACHE=/there/home/cache
cd /there || exit

# exec, so that the scheduler's SIGTERM reaches the process that saves its state.
exec /bin/python -m dxbench run --cells /there/home/sweeps/SWEEP/cells.jsonl"[${chunks[$task]}]" --device auto --devices 1 --accumulate 1 --checkpoint-every 30.0 --jobs 1 --retries 0 --timeout 90.0s

slurm-3.sh:
#!/bin/bash
#SBATCH --job-name=dxbench-SWEEP
#SBATCH --array=0-1%4
#SBATCH --output=logs/slurm-3_%a.log
#SBATCH --gres=gpu:a100:1
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --open-mode=append
#SBATCH --partition=gpu
#SBATCH --requeue
#SBATCH --signal=B:TERM@60
#SBATCH --time=2:00:00

# Cells of a sweep by dxbench, as an array: task i runs the i-th of these chunks of cells.jsonl. It may be submitted by
# hand from the folder where it lies, again too: cells that have a record are passed over, others go on from their
# checkpoint. For PBS or LSF change the lines above, and the line that says which task this is.
chunks=(
  6
  7
)
task=$SLURM_ARRAY_TASK_ID  # PBS: $PBS_ARRAY_INDEX; LSF, which counts from 1: $((LSB_JOBINDEX - 1))
export DXBENCH_HOME=/there/home
export DXBENCH_RESULTS=/there/home/results
export DXBENCH_DATA=/data
export DXBENCH_CACHE=/there/home/cache
cd /there || exit

# exec, so that the scheduler's SIGTERM reaches the process that saves its state.
exec /bin/python -m dxbench run --cells /there/home/sweeps/SWEEP/cells.jsonl"[${chunks[$task]}]" --device auto --devices 1 --accumulate 1 --checkpoint-every 30.0 --jobs 1 --retries 0 --timeout 90.0s
