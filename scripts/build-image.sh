#!/usr/bin/env bash
# Builds the image with Docker where an engine answers, else with buildah, and runs commands in it.
#
#   build-image.sh [--tag NAME] [--base IMAGE] [--ca FILE] [--npmrc FILE]
#   build-image.sh --run [--tag NAME] [--env NAME[=VALUE]]… [--volume FROM:TO[:ro]]… [--] [COMMAND…]
#
# --tag     the image's name (default: udm-sync)
# --base    the base image (default: the Dockerfile's; without Docker one made of Debian and Node, see below)
# --ca      certificates npm trusts besides its own while building (default: $NODE_EXTRA_CA_CERTS)
# --npmrc   npm's settings while building (default: $NPM_CONFIG_USERCONFIG or ~/.npmrc, if there is one)
# --run     runs udm-sync COMMAND (default: worker) in the image: as uid 10001, on the host's network, and with
#           Docker on a read-only root file system with a writable /tmp
#
# Neither the certificates nor npm's settings stay in the image. Without Docker, root is needed: buildah and
# debootstrap are installed from Debian if missing, and the base is this machine's own Debian release, from the
# mirror that its apt uses, with the Node that npm ci has put into node_modules.
set -euo pipefail
cd "$(dirname "$0")/.."

tag=udm-sync
base=
ca=${NODE_EXTRA_CA_CERTS:-}
npmrc=${NPM_CONFIG_USERCONFIG:-${HOME:-}/.npmrc}
action=build
run_options=()
while [ $# -gt 0 ]; do
  case $1 in
    --tag) tag=${2:?--tag needs a name}; shift 2 ;;
    --base) base=${2:?--base needs an image}; shift 2 ;;
    --ca) ca=${2:?--ca needs a file}; shift 2 ;;
    --npmrc) npmrc=${2:?--npmrc needs a file}; shift 2 ;;
    --env)
      case ${2:?--env needs NAME or NAME=VALUE} in
        *=*) run_options+=(--env "$2") ;;
        *) run_options+=(--env "$2=${!2-}") ;; # buildah does not take the value from its own environment
      esac
      shift 2
      ;;
    --volume) run_options+=(--volume "${2:?--volume needs FROM:TO}"); shift 2 ;;
    --run) action=run; shift ;;
    --) shift; break ;;
    -h | --help) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"; exit ;;
    -*) echo "build-image: unknown option $1 (see --help)" >&2; exit 2 ;;
    *) break ;;
  esac
done
[ "$action" = run ] || [ $# -eq 0 ] || { echo "build-image: $1: a command needs --run" >&2; exit 2; }

fail() {
  echo "build-image: $*" >&2
  exit 1
}

say() { echo "build-image: $*" >&2; }

docker_answers() { command -v docker >/dev/null && timeout 5 docker version >/dev/null 2>&1; }

secrets=()
[ -s "$ca" ] && secrets+=(--secret "id=ca,src=$ca")
[ -s "$npmrc" ] && secrets+=(--secret "id=npmrc,src=$npmrc")

build_arguments() {
  version=$(sed -n 's/^  "version": "\(.*\)",$/\1/p' package.json)
  arguments=(--build-arg "VERSION=$version" --tag "$tag")
  revision=$(git rev-parse HEAD 2>/dev/null) && arguments+=(--build-arg "REVISION=$revision")
  [ -z "$base" ] || arguments+=(--build-arg "BASE=$base")
}

# --- Docker -------------------------------------------------------------------------------------------------

build_with_docker() {
  build_arguments
  DOCKER_BUILDKIT=1 docker build "${arguments[@]}" "${secrets[@]}" .
}

run_with_docker() {
  exec docker run --rm --network host --read-only --tmpfs /tmp "${run_options[@]}" "$tag" "$@"
}

# --- buildah ------------------------------------------------------------------------------------------------

export BUILDAH_ISOLATION=chroot
container=
remove_container() { [ -z "$container" ] || buildah rm "$container" >/dev/null; }

need() {
  local missing=() program
  for program in "$@"; do command -v "$program" >/dev/null || missing+=("$program"); done
  [ ${#missing[@]} -eq 0 ] && return
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null ||
    fail "no Docker engine answers, and ${missing[*]} cannot be installed: start Docker, or run this as root on Debian."
  say "installing ${missing[*]}"
  apt-get -o DPkg::Lock::Timeout=300 update -qq
  DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends \
    "${missing[@]}" >/dev/null
}

# What node:24-bookworm-slim is, as far as this image needs it: a minimal Debian, Node and npm.
make_base() {
  local node npm release mirror root
  node=node_modules/node/bin/node
  [ -x "$node" ] || fail "there is no $node: run npm ci first."
  npm=$(dirname "$(dirname "$(realpath "$(command -v npm)")")")
  [ -f "$npm/bin/npm-cli.js" ] || fail 'there is no npm to put into the base image.'
  release=$(. /etc/os-release && echo "$VERSION_CODENAME")
  base=localhost/udm-sync-base:$release-node-$("$node" -p process.versions.node)
  buildah inspect --type image "$base" >/dev/null 2>&1 && return
  need debootstrap
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $release" 'Component: main')
  mirror=${mirror%%$'\n'*}
  [ -n "$mirror" ] || fail "apt knows no mirror of Debian $release; run apt-get update."
  say "making the base image $base"
  trap remove_container EXIT
  container=$(buildah from scratch)
  root=$(buildah mount "$container")
  debootstrap --variant=minbase "$release" "$root" "$mirror" >"$root/debootstrap.out" 2>&1 ||
    fail "debootstrap failed: $(tail -n 5 "$root/debootstrap.out")"
  rm -rf "$root"/debootstrap.out "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/*
  install -D -m 755 "$node" "$root/usr/local/bin/node"
  mkdir -p "$root/usr/local/lib/node_modules"
  cp -r "$npm" "$root/usr/local/lib/node_modules/npm"
  ln -s ../lib/node_modules/npm/bin/npm-cli.js "$root/usr/local/bin/npm"
  buildah config --cmd node "$container"
  buildah commit --quiet "$container" "$base" >/dev/null
}

build_with_buildah() {
  need buildah
  [ -n "$base" ] || make_base
  build_arguments
  buildah build --format docker --layers "${arguments[@]}" "${secrets[@]}" .
}

# buildah run knows neither the entry point nor the default command, and does not pass signals on.
run_with_buildah() {
  need buildah
  trap remove_container EXIT
  container=$(buildah from --pull-never "localhost/$tag")
  [ $# -gt 0 ] || set -- worker
  buildah run --user 10001:10001 "${run_options[@]}" "$container" -- node --max-semi-space-size=8 /app/dist/src/cli/main.js "$@" &
  local runner=$! status signal
  for signal in INT TERM; do trap "signal_innermost $signal $runner" $signal; done
  while :; do
    status=0
    wait "$runner" || status=$?
    kill -0 "$runner" 2>/dev/null || return "$status"
  done
}

# The process at the end of the chain of children: Node, below buildah's helpers.
signal_innermost() {
  local process=$2 child
  while child=$(pgrep -P "$process"); do process=${child%%$'\n'*}; done
  kill -s "$1" "$process"
}

if docker_answers; then engine=docker; else engine=buildah; fi
say "$action with $engine"
"${action}_with_$engine" "$@"
