#!/usr/bin/env bash
# A SLURM of two nodes on this machine, for tests: no systemd, no state outside one folder, ports of its own.
#
#   tools/slurm_testbed.sh up [--accounting] [--cpus=N] [FOLDER]     prints the SLURM_CONF to export
#   tools/slurm_testbed.sh down [FOLDER]                  ends all of it, jobs included; what ended already is no error
#
# FOLDER is ${TMPDIR:-/tmp}/dxbench-slurm where none is given. Debian's packages: slurm-wlm and munge; with --accounting
# slurmdbd and mariadb-server too. Each node claims to have N CPUs, 2 where nothing is said, whatever there are. Partitions:
# main, and urgent, whose jobs preempt those of main. Nodes are called by addresses, since processes of one run look for
# each other by the names of their nodes.
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin"
DAEMONS='munged|slurmctld|slurmscriptd|slurmd|slurmstepd|slurmdbd|mariadbd'

fail() { echo "slurm_testbed: $*" >&2; exit 1; }

need() {
  for program in "$@"; do
    command -v "$program" >/dev/null || fail "no $program here; apt-get install slurm-wlm munge$packages"
  done
}

wait_for() { # seconds, command...
  local deadline=$((SECONDS + $1)); shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || fail "no success within its time: $*; see $folder/log"
    sleep 0.1
  done
}

# Daemons are known by a file that they have open here, processes of jobs by their environment.
ours() {
  { find /proc/[0-9]*/fd -lname "$folder/*" 2>/dev/null || true; } | cut -d/ -f3 | sort -u | while read -r pid; do
    grep -qxE "$DAEMONS" "/proc/$pid/comm" 2>/dev/null && echo "$pid"
  done
  { grep -lzxF "SLURM_CONF=$folder/etc/slurm.conf" /proc/[0-9]*/environ 2>/dev/null || true; } | cut -d/ -f3 |
    while read -r pid; do grep -qz '^SLURM_JOB_ID=' "/proc/$pid/environ" 2>/dev/null && echo "$pid"; done
  true
}

down() {
  while pids=$(ours | grep -vx "$$"); do
    kill -KILL $pids 2>/dev/null || true
    sleep 0.1
  done
  rm -rf "$folder/state" "$folder/spool" "$folder/db" "$folder/run"
}

free_ports() { # the first of four ports in a row that nobody listens at
  local first used
  used=$(awk 'NR > 1 && $4 == "0A" { split($2, at, ":"); print at[2] }' /proc/net/tcp /proc/net/tcp6 2>/dev/null)
  for first in $(seq 17817 4 19817); do
    for port in $(seq "$first" $((first + 3))); do
      ! grep -qx "$(printf %04X "$port")" <<<"$used" || continue 2
    done
    echo "$first"
    return
  done
  fail "no four free ports between 17817 and 19820"
}

configure() {
  local host user storage=none
  host=$(hostname -s) user=$(id -un)
  [ -z "$accounting" ] || storage=slurmdbd
  cat >"$folder/etc/slurm.conf" <<CONF
ClusterName=testbed
SlurmctldHost=$host(127.0.0.1)
SlurmUser=$user
SlurmdUser=$user
SlurmctldPort=$ports
AuthType=auth/munge
AuthInfo=socket=$folder/run/munge.sock
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool/%n
SlurmctldPidFile=$folder/run/slurmctld.pid
SlurmdPidFile=$folder/run/slurmd.%n.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,batch_sched_delay=0,bf_interval=2
AccountingStorageType=accounting_storage/$storage
AccountingStorageHost=localhost
AccountingStoragePort=$((ports + 3))
AccountingStoragePass=$folder/run/munge.sock
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
SlurmdTimeout=20
InactiveLimit=0
KillWait=5
MinJobAge=600
MaxArraySize=100001
MaxJobCount=200000
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
SlurmdParameters=config_overrides
NodeName=127.0.0.[1-2] NodeHostname=$host NodeAddr=127.0.0.1 Port=[$((ports + 1))-$((ports + 2))] CPUs=$cpus RealMemory=8000 State=UNKNOWN
PartitionName=main Nodes=127.0.0.[1-2] Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE
PartitionName=urgent Nodes=127.0.0.[1-2] MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
CONF
  cat >"$folder/etc/slurmdbd.conf" <<CONF
AuthType=auth/munge
AuthInfo=socket=$folder/run/munge.sock
DbdHost=localhost
DbdPort=$((ports + 3))
SlurmUser=$user
LogFile=$folder/log/slurmdbd.log
PidFile=$folder/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=slurm
StoragePass=x
StorageLoc=slurm_acct_db
CONF
  chmod 600 "$folder/etc/slurmdbd.conf"
}

start_accounting() {
  export MYSQL_UNIX_PORT="$folder/run/my.sock" # where slurmdbd looks, too
  mkdir -p "$folder/db"
  mariadb-install-db --no-defaults --datadir="$folder/db" --auth-root-authentication-method=normal \
    --user="$(id -un)"
  mariadbd --no-defaults --user="$(id -un)" --datadir="$folder/db" --socket="$MYSQL_UNIX_PORT" --skip-networking \
    --pid-file="$folder/run/mariadbd.pid" --innodb-buffer-pool-size=128M --innodb-lock-wait-timeout=900 \
    --log-error="$folder/log/mariadb.log" &
  wait_for 60 mariadb --no-defaults -S "$MYSQL_UNIX_PORT" -u root -e "
    create database if not exists slurm_acct_db;
    create user if not exists 'slurm'@'localhost' identified by 'x';
    grant all on slurm_acct_db.* to 'slurm'@'localhost';"
  slurmdbd
  wait_for 60 sacctmgr -n show cluster
}

start() {
  head -c 1024 /dev/urandom >"$folder/etc/munge.key" &&
    chmod 600 "$folder/etc/munge.key" &&
    munged --force --key-file="$folder/etc/munge.key" --socket="$folder/run/munge.sock" \
      --pid-file="$folder/run/munged.pid" --log-file="$folder/log/munged.log" \
      --seed-file="$folder/state/munged.seed" &&
    { [ -z "$accounting" ] || start_accounting; } &&
    slurmctld -c && slurmd -N 127.0.0.1 && slurmd -N 127.0.0.2
}

up() {
  need munged slurmctld slurmd sinfo
  [ -z "$accounting" ] || need slurmdbd mariadbd mariadb-install-db
  down
  mkdir -p "$folder"/{etc,log,run,state,spool}
  chmod 755 "$folder" "$folder/run"
  chmod 700 "$folder"/{etc,log,state} # munged refuses others
  exec 9>"${TMPDIR:-/tmp}/dxbench-slurm.ports"
  flock 9 # until the ports are in use
  ports=$(free_ports)
  configure
  export SLURM_CONF="$folder/etc/slurm.conf"
  start 9>&- </dev/null >"$folder/log/start.log" 2>&1 || fail "a daemon did not start; see $folder/log"
  wait_for 30 sh -c "sinfo -h -p main -o '%t %D' | grep -qx 'idle 2'"
  echo "SLURM_CONF=$SLURM_CONF"
}

what=${1:-} accounting='' packages='' cpus=2 folder=${TMPDIR:-/tmp}/dxbench-slurm
shift || true
for argument in "$@"; do
  case $argument in
    --accounting) accounting=yes packages=' slurmdbd mariadb-server' ;;
    --cpus=[1-9]*) cpus=${argument#*=} ;;
    -*) fail "unknown option $argument" ;;
    *) folder=$argument ;;
  esac
done
folder=$(realpath -m -- "$folder")
case $folder in *[[:space:]]*) fail "SLURM takes no folder with white space in its name: $folder" ;; esac
case $what in up | down) "$what" ;; *) fail "usage: $0 up|down [--accounting] [--cpus=N] [FOLDER]" ;; esac
