#!/usr/bin/env bash
# Stop what slurm_up.sh started below SLURM_ROOT, newest first, and leave nothing: no process, link, line, cgroup or file. KEEP=1 keeps the logs.
set -u
ROOT=${SLURM_ROOT:?set SLURM_ROOT to the folder of slurm_up.sh}
LINK=/etc/slurm/slurm.conf
MARK="# tests/cluster/slurm_up.sh"
export SLURM_CONF=$ROOT/etc/slurm.conf
[ -e "$ROOT/pids" ] || exit 0

# Jobs first: a slurmd that goes down alone leaves its jobs running.
timeout 20 bash -c 'scancel --user root 2> /dev/null
    until [ -z "$(squeue --noheader --states=running,completing,pending 2> /dev/null)" ]; do
        scancel --signal KILL --full --user root 2> /dev/null
        sleep 0.5
    done' || true

# The number may have been given to another process since: only one with the noted name is killed.
is_ours() { [ "$(ps -o comm= -p "$1" 2> /dev/null | cut -c1-5)" = "${2:0:5}" ]; }
any_left() { while read -r pid name; do is_ours "$pid" "$name" && return 0; done < "$ROOT/pids"; return 1; }

for signal in TERM KILL; do
    while read -r pid name; do is_ours "$pid" "$name" && kill -$signal "$pid" 2> /dev/null; done < <(tac "$ROOT/pids")
    for _ in $(seq 50); do any_left && sleep 0.1 || break; done
done

[ "$(readlink $LINK 2> /dev/null)" = "$SLURM_CONF" ] && rm -f $LINK
hosts=$(grep -vF "$MARK" /etc/hosts) && echo "$hosts" > /etc/hosts # not replaced: in a container it is a mount
for folder in /sys/fs/cgroup/{memory,freezer,cpuacct,cpuset,devices}/slurm_gpu*; do
    [ -d "$folder" ] && find "$folder" -depth -type d -exec rmdir {} + 2> /dev/null
done
rm -f "$ROOT/pids"
[ "${KEEP:-0}" = 1 ] || rm -rf "$ROOT"
