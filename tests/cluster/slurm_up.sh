#!/usr/bin/env bash
# A real SLURM on one machine, for tests: munge, MariaDB, slurmdbd, slurmctld and NODES slurmd on loopback, without systemd.
#
#   SLURM_ROOT=/somewhere/new tests/cluster/slurm_up.sh && . /somewhere/new/env.sh
#   SLURM_ROOT=/somewhere/new tests/cluster/slurm_down.sh
#
# Everything lies below SLURM_ROOT, but for one link, /etc/slurm/slurm.conf, where a client looks that was started without SLURM_CONF,
# and one line in /etc/hosts with the names of the nodes, by which the ranks of a job find each other.
# Needs root and the packages slurm-wlm slurmdbd munge mariadb-server (.ci/system.sh installs them).
set -euo pipefail
ROOT=${SLURM_ROOT:?set SLURM_ROOT to a folder that does not exist yet}
NODES=${SLURM_NODES:-2} CPUS=${SLURM_CPUS:-16} MEMORY=${SLURM_MEMORY:-64000} GPUS=${SLURM_GPUS:-4}
PORT=${SLURM_PORT:-16817} # slurmctld; slurmdbd +2, MariaDB +3, slurmd number i +10+i
LINK=/etc/slurm/slurm.conf
MARK="# tests/cluster/slurm_up.sh" # slurm_down.sh knows our line by it
HOST=$(hostname -s)
export PATH=/usr/sbin:/usr/bin:/sbin:/bin SLURM_CONF=$ROOT/etc/slurm.conf

# With cgroup v1 memory limits are real (OUT_OF_MEMORY); without, polling kills a job that outgrows its memory (FAILED).
CGROUP=$([ -w /sys/fs/cgroup/memory ] && [ -w /sys/fs/cgroup/freezer ] && echo 1 || echo 0)

die() { echo "slurm_up.sh: $1" >&2; exit 1; }
[ "$(id -u)" = 0 ] || die "needs root"
for program in munged mariadbd slurmdbd slurmctld slurmd; do
    command -v $program > /dev/null || die "$program is missing: run .ci/system.sh"
done
[ ! -e "$ROOT" ] || die "$ROOT exists: take another folder, or run slurm_down.sh first"
[ ! -e $LINK ] || [ -L $LINK ] || die "$LINK is a real file: this machine belongs to a cluster"
[ ! -L $LINK ] || [ ! -e $LINK ] || die "another test's SLURM is up ($(readlink $LINK)): run its slurm_down.sh"

mkdir -p "$ROOT"/{etc,log,run,state,spool,db,dev}
chmod 755 "$ROOT" "$ROOT/run"
: > "$ROOT/pids"

# start NAME COMMAND...: in the background, in a session of its own, noted in $ROOT/pids for slurm_down.sh.
start() {
    local name=$1
    shift
    setsid "$@" >> "$ROOT/log/$name.out" 2>&1 < /dev/null &
    echo "$! $name" >> "$ROOT/pids"
}

# wait_for WHAT COMMAND...: until the command succeeds, 5 minutes at most: machines are busy.
wait_for() {
    local what=$1 end=$((SECONDS + 300))
    shift
    until timeout 5 "$@" > "$ROOT/log/wait_for" 2>&1; do
        if [ $SECONDS -ge $end ]; then
            for file in "$ROOT"/log/*; do echo "== $file" && tail -n 20 "$file"; done >&2
            die "$what did not come up"
        fi
        sleep 0.1
    done
}

munge() {
    (umask 077 && head -c 1024 /dev/urandom > "$ROOT/etc/munge.key")
    start munged munged --foreground --force --num-threads=2 --key-file="$ROOT/etc/munge.key" \
        --socket="$ROOT/run/munge.sock" --pid-file="$ROOT/run/munged.pid" --log-file="$ROOT/log/munged.log" \
        --seed-file="$ROOT/run/munge.seed"
}

SQL=(mariadb --no-defaults --user=root --socket="$ROOT/run/db.sock")

# Durability is off: the database dies with the test.
database() {
    mariadb-install-db --no-defaults --user=root --datadir="$ROOT/db" --skip-test-db \
        --auth-root-authentication-method=normal > "$ROOT/log/db-install.log" 2>&1
    start mariadbd mariadbd --no-defaults --user=root --datadir="$ROOT/db" --socket="$ROOT/run/db.sock" \
        --pid-file="$ROOT/run/db.pid" --bind-address=127.0.0.1 --port=$((PORT + 3)) --innodb-buffer-pool-size=64M \
        --innodb-log-file-size=32M --innodb-lock-wait-timeout=900 --innodb-flush-log-at-trx-commit=0 \
        --innodb-flush-method=nosync --skip-log-bin --performance-schema=OFF
    wait_for MariaDB "${SQL[@]}" --execute 'select 1'
    "${SQL[@]}" --execute "
        CREATE USER slurm@'%' IDENTIFIED BY 'slurm'; GRANT ALL ON slurm_acct_db.* TO slurm@'%';
        CREATE USER slurm@localhost IDENTIFIED BY 'slurm'; GRANT ALL ON slurm_acct_db.* TO slurm@localhost;"
}

accounting_configuration() {
    (umask 077 && cat > "$ROOT/etc/slurmdbd.conf") << END
AuthType=auth/munge
AuthInfo=socket=$ROOT/run/munge.sock
DbdHost=$HOST
DbdAddr=127.0.0.1
DbdPort=$((PORT + 2))
SlurmUser=root
LogFile=$ROOT/log/slurmdbd.log
PidFile=$ROOT/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$((PORT + 3))
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
END
}

cluster_configuration() {
    local tracking="ProctrackType=proctrack/cgroup
TaskPlugin=task/cgroup
JobAcctGatherType=jobacct_gather/cgroup"
    printf 'CgroupPlugin=cgroup/v1\nConstrainRAMSpace=yes\nConstrainCores=no\nConstrainDevices=no\n' > "$ROOT/etc/cgroup.conf"
    if [ "$CGROUP" = 0 ]; then
        tracking="ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherParams=OverMemoryKill"
        printf 'CgroupPlugin=cgroup/v1\n' > "$ROOT/etc/cgroup.conf"
    fi
    cat > "$SLURM_CONF" << END
ClusterName=testcluster
SlurmctldHost=$HOST(127.0.0.1)
SlurmctldPort=$PORT
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$ROOT/run/munge.sock
StateSaveLocation=$ROOT/state
SlurmdSpoolDir=$ROOT/spool/%n
SlurmctldPidFile=$ROOT/run/slurmctld.pid
SlurmdPidFile=$ROOT/run/slurmd-%n.pid
SlurmctldLogFile=$ROOT/log/slurmctld.log
SlurmdLogFile=$ROOT/log/slurmd-%n.log
SlurmdParameters=config_overrides
$tracking
JobAcctGatherFrequency=task=1
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=500
GresTypes=gpu
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=$HOST
AccountingStoragePass=$ROOT/run/munge.sock
AccountingStoragePort=$((PORT + 2))
AccountingStorageTRES=gres/gpu
AccountingStorageEnforce=associations
AccountingStoreFlags=job_comment
JobRequeue=1
JobCompType=jobcomp/none
ReturnToService=2
SlurmdTimeout=20
MinJobAge=300
KillWait=2
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0,sched_min_interval=100000
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
OverTimeLimit=0
NodeName=DEFAULT CPUs=$CPUS RealMemory=$MEMORY Gres=gpu:h100:$GPUS State=UNKNOWN
$(for i in $(seq "$NODES"); do echo "NodeName=gpu$i NodeHostname=$HOST NodeAddr=127.0.0.1 Port=$((PORT + 10 + i)) Weight=$((NODES - i + 1))"; done)
PartitionName=cpu Nodes=gpu[1-$NODES] MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
PartitionName=gpu Nodes=gpu[1-$NODES] Default=YES MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
PartitionName=preemptible Nodes=gpu[1-$NODES] MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE
END
    # GPUs that are null devices: SLURM hands them out and sets CUDA_VISIBLE_DEVICES as it would real ones.
    for i in $(seq 0 $((GPUS - 1))); do mknod "$ROOT/dev/nvidia$i" c 1 3 2> /dev/null || : > "$ROOT/dev/nvidia$i"; done
    printf 'AutoDetect=off\nName=gpu Type=h100 File=%s/dev/nvidia[0-%s]\n' "$ROOT" "$((GPUS - 1))" > "$ROOT/etc/gres.conf"
}

accounting() {
    start slurmdbd slurmdbd -D
    wait_for slurmdbd sacctmgr --noheader show cluster
    sacctmgr -iQ add cluster testcluster > /dev/null
    sacctmgr -iQ add account lab Cluster=testcluster > /dev/null
    sacctmgr -iQ add user root Account=lab Cluster=testcluster > /dev/null
}

munge
accounting_configuration
cluster_configuration
mkdir -p ${LINK%/*}
ln -sfn "$SLURM_CONF" $LINK
echo "127.0.0.1 $(seq -f 'gpu%g' -s ' ' "$NODES") $MARK" >> /etc/hosts
echo "export SLURM_CONF=$SLURM_CONF" > "$ROOT/env.sh"
database
accounting
start slurmctld slurmctld -D -f "$SLURM_CONF"
for i in $(seq "$NODES"); do
    mkdir -p "$ROOT/spool/gpu$i"
    start "slurmd-gpu$i" slurmd -D -N "gpu$i" -f "$SLURM_CONF"
done
wait_for nodes bash -c "[ \$(sinfo -h -N -p gpu -t idle -o %N | wc -l) = $NODES ]"
sinfo -N -o '%N %T %c %m %G %P'
