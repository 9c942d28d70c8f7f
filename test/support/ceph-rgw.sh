#!/usr/bin/env bash
# A small real S3 server for tests: Ceph's RADOS Gateway on 127.0.0.1, objects in memory, nothing kept.
#
#   ceph-rgw.sh install          Debian packages (as root)
#   ceph-rgw.sh start  DIR PORT  starts one cluster with its files in DIR; S3 answers on PORT
#   ceph-rgw.sh stop   DIR       stops what start left running in DIR and removes DIR
#   ceph-rgw.sh run    DIR PORT  start, print the endpoint, stop as soon as stdin closes: dies with its parent
#
# PORT+1 and PORT+2 are used by the monitor. Two users: udm-sync-test / udm-sync-test-secret, which owns the
# buckets the tests make, and udm-sync-stranger / udm-sync-stranger-secret, which may not touch them.
set -euo pipefail

usage() {
  sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0" >&2
  exit 2
}

fail() {
  echo "ceph-rgw: $*" >&2
  exit 1
}

install_packages() {
  apt-get -o DPkg::Lock::Timeout=300 update -qq
  DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends \
    ceph-mon ceph-osd radosgw ceph-common >/dev/null
}

write_config() {
  cat >"$CEPH_CONF" <<CONF
[global]
fsid = $(cat /proc/sys/kernel/random/uuid)
mon_host = $monitor
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_ipv6 = false
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
keyring = $dir/keyring
run_dir = $dir
admin_socket = $dir/\$name.asok
log_file = $dir/\$name.log
crash_dir = $dir
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pgp_num = 8
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_max_pg_per_osd = 1000
mon_data_avail_crit = 1
rgw_rados_pool_pg_num_min = 8
# A monitor alone need not wait for anyone.
paxos_propose_interval = 0.05
paxos_min_wait = 0.02
[mon]
mon_data = $dir/mon
mon_initial_members = a
mon_cluster_log_file = $dir/cluster.log
[osd]
osd_data = $dir/osd
osd_objectstore = memstore
memstore_device_bytes = 8589934592
osd_class_update_on_start = false
[client.rgw]
rgw_frontends = beast endpoint=127.0.0.1:$port
rgw_run_sync_thread = false
rgw_data = $dir
# Deleted objects give their memory back within seconds, not hours.
rgw_gc_obj_min_wait = 5
rgw_gc_processor_period = 10
rgw_gc_processor_max_time = 10
# The gateway asks for encrypted links to the monitor, which need cephx.
ms_mon_client_mode = crc
CONF
}

# daemon NAME COMMAND…: runs it in the background and keeps its process id.
daemon() {
  local name=$1
  shift
  setsid "$@" >"$dir/$name.out" 2>&1 </dev/null &
  echo $! >"$dir/$name.pid"
}

# await NAME COMMAND…: until the command succeeds, for as long as the daemon NAME lives, at most a minute.
await() {
  local name=$1
  shift
  for _ in $(seq 300); do
    "$@" >/dev/null 2>&1 && return
    kill -0 "$(cat "$dir/$name.pid")" 2>/dev/null || fail "$name died: $(tail -n 3 "$dir/$name.out")"
    sleep 0.2
  done
  fail "$name does not answer"
}

monitor_answers() { timeout 5 ceph --connect-timeout 4 mon stat; }
osd_is_up() { ceph --connect-timeout 4 osd stat | grep -q ' 1 up'; }
gateway_answers() (exec 3<>"/dev/tcp/127.0.0.1/$port")
create_user() {
  timeout 60 radosgw-admin -n client.rgw user create --uid="$1" --display-name="$1" \
    --access-key="$1" --secret-key="$1-secret" >/dev/null 2>"$dir/user.err" || fail "user: $(tail -n 3 "$dir/user.err")"
}

start() {
  command -v radosgw ceph-mon ceph-osd >/dev/null || fail 'not installed; run: ceph-rgw.sh install'
  [ ! -e "$dir/mon" ] || fail "$dir is in use"
  mkdir -p "$dir/mon" "$dir/osd"
  monitor="[v2:127.0.0.1:$((port + 1)),v1:127.0.0.1:$((port + 2))]"
  write_config
  trap stop ERR EXIT

  ceph-authtool -C -n mon. --gen-key --cap mon 'allow *' "$dir/keyring" >/dev/null
  ceph-authtool -n client.admin --gen-key --cap mon 'allow *' --cap osd 'allow *' "$dir/keyring" >/dev/null
  monmaptool --create --clobber --fsid "$(ceph-conf --lookup fsid)" --addv a "$monitor" "$dir/monmap" >/dev/null
  ceph-mon --mkfs -i a --monmap "$dir/monmap" --keyring "$dir/keyring"
  daemon ceph-mon ceph-mon -f -i a
  await ceph-mon monitor_answers

  local id
  id=$(cat /proc/sys/kernel/random/uuid)
  ceph osd new "$id" >/dev/null 2>&1
  ceph-osd -i 0 --mkfs --osd-uuid "$id" >"$dir/osd-mkfs.out" 2>&1
  daemon ceph-osd ceph-osd -f -i 0
  await ceph-osd osd_is_up

  create_user udm-sync-test
  create_user udm-sync-stranger
  daemon radosgw radosgw -f -n client.rgw
  await radosgw gateway_answers
  trap - ERR EXIT
  echo "http://127.0.0.1:$port"
}

# Only processes that start left here, checked by program name. Nothing is kept, so there is nothing to flush.
stop() {
  local name pid
  for name in radosgw ceph-osd ceph-mon; do
    [ -s "$dir/$name.pid" ] || continue
    pid=$(cat "$dir/$name.pid")
    [ "$(basename "$(readlink "/proc/$pid/exe")" 2>/dev/null)" = "$name" ] && kill -9 "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true # It is our child under run; this also keeps bash from announcing its death.
  done
  # Only a directory that start has made.
  [ -e "$dir/ceph.conf" ] && rm -rf -- "$dir"
  return 0
}

action=${1:-}
dir=${2:-}
port=${3:-7480}
export CEPH_CONF=$dir/ceph.conf
case $action in
  install) install_packages ;;
  start) [ -n "$dir" ] || usage; start ;;
  stop) [ -n "$dir" ] || usage; stop ;;
  run)
    [ -n "$dir" ] || usage
    trap '' INT # Ctrl-C reaches the whole group; the parent decides by closing stdin
    start
    trap stop EXIT
    cat >/dev/null
    ;;
  *) usage ;;
esac
