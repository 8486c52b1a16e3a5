# shellcheck shell=bash
# What the programs of this directory share. It is sourced, never run:
#
#   source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
#
# It makes the repository's root the working directory, so that every path in the scripts reads from there.

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
# The running script, by a name that the change of directory does not spoil.
SELF="$ROOT/script/${0##*/}"
cd "$ROOT"

# All that is built lands below target/, whatever the caller's own cargo settings say: the scripts and the tests look for it there.
export CARGO_TARGET_DIR="$ROOT/target"
TOOLS="$ROOT/target/tools"
# shellcheck disable=SC2034 # read by the scripts that source this file
LIFECYCLE="$TOOLS/lifecycle"
# cargo finds its subcommand `libcnb` here, and script/test finds pack.
export PATH="$TOOLS/bin:$PATH"

# A machine may have the Rust that rust-toolchain.toml names as its default one, under another name, and no way to install it anew.
pinned_rust=$(sed -n 's/^channel = "\(.*\)"$/\1/p' rust-toolchain.toml)
if [[ -z ${RUSTUP_TOOLCHAIN:-} ]] && command -v rustup >/dev/null && ! rustup toolchain list | grep -q "^$pinned_rust"; then
  default_rust=$(cd / && rustup show active-toolchain 2>/dev/null | cut -d ' ' -f 1) || default_rust=''
  if [[ $default_rust && $(RUSTUP_TOOLCHAIN=$default_rust rustc --version) == "rustc $pinned_rust "* ]]; then
    export RUSTUP_TOOLCHAIN=$default_rust
  fi
fi
unset pinned_rust default_rust

# The user that root's tests and demos run as: the lifecycle refuses root. A number, so that it needs no entry in /etc/passwd; 65534 is
# nobody wherever it has one.
# shellcheck disable=SC2034
ORDINARY_UID=65534

if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
  BOLD=$'\e[1m' RED=$'\e[31m' RESET=$'\e[0m'
else
  BOLD='' RED='' RESET=''
fi

# say WORDS…: one line that tells the reader what happens now.
say() {
  printf '%s%s%s\n' "$BOLD" "$*" "$RESET"
}

# complain WORDS…: one line on stderr; the script goes on.
complain() {
  printf '%s%s: %s%s\n' "$RED" "${0##*/}" "$*" "$RESET" >&2
}

# die WORDS…: says what is wrong and what to do, and ends the script.
die() {
  complain "$@"
  exit 1
}

# have PROGRAM: whether PROGRAM can be run by its name.
have() {
  command -v "$1" >/dev/null 2>&1
}

# apt_install WHAT PACKAGE…: installs Debian packages where that may be done here, because WHAT is missing; else says how.
apt_install() {
  local missing=$1
  shift
  if ! have apt-get; then
    die "missing: $missing; install it with your system's package manager (on Debian it is in: $*)"
  elif ((EUID != 0)); then
    die "missing: $missing; install it with: sudo apt-get install --no-install-recommends $*"
  fi
  say "Installing Debian packages: $*"
  # The package lists of a fresh container are empty or old; they are only fetched where they are needed.
  DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends "$@" >/dev/null 2>&1 ||
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends "$@" >/dev/null; } ||
    die "apt-get could not install $*; its error is above"
}

# apt_install_missing PROGRAM PACKAGE PROGRAM PACKAGE…: installs the package of each program that cannot be run.
apt_install_missing() {
  local missing=() packages=()
  while (($#)); do
    if ! have "$1"; then
      missing+=("$1")
      packages+=("$2")
    fi
    shift 2
  done
  ((${#missing[@]} == 0)) || apt_install "${missing[*]}" "${packages[@]}"
}

# alone LOCKFILE ARGUMENT…: starts the running script anew, with ARGUMENTs, under a lock that no two runs hold at once, and does not come
# back; in the run that holds the lock it does nothing. The lock ends with the script, however that ends, and is not handed to
# what the script starts.
alone() {
  local lock=$1
  shift
  if [[ ${HELD_LOCK:-} != "$lock" ]]; then
    mkdir -p "$(dirname "$lock")"
    HELD_LOCK=$lock exec flock --close "$lock" "$SELF" "$@"
  fi
  unset HELD_LOCK
}

# arch_of MACHINE: the name that images have for an architecture, from the kernel's.
arch_of() {
  case $1 in
    x86_64) printf 'amd64\n' ;;
    aarch64) printf 'arm64\n' ;;
    *) die "there is no package for $1 machines, only for x86_64 (amd64) and aarch64 (arm64)" ;;
  esac
}

# musl_target ARCH: the target triple of static programs for an architecture.
musl_target() {
  case $1 in
    amd64) printf 'x86_64-unknown-linux-musl\n' ;;
    arm64) printf 'aarch64-unknown-linux-musl\n' ;;
  esac
}

# has_target TRIPLE: whether Rust has what it takes to build for TRIPLE.
has_target() {
  [[ -d $(rustc --print sysroot)/lib/rustlib/$1 ]]
}

# static_target: the target triple that buildpacks are packaged for: this machine's own, with musl where Rust and a linker have it.
static_target() {
  local machine
  machine=$(uname -m)
  if has_target "$machine-unknown-linux-musl" && have musl-gcc; then
    printf '%s-unknown-linux-musl\n' "$machine"
  else
    printf '%s-unknown-linux-gnu\n' "$machine"
  fi
}

# package_static TARGET DIRECTORY: packages the buildpack of the working directory below DIRECTORY, with static programs.
package_static() {
  local target=$1 assistance=()
  # Where the target is this machine's own, its linker is the one to use: no help of cargo libcnb's for cross compiling.
  [[ $target != "$(uname -m)"-* ]] || assistance+=(--no-cross-compile-assistance)
  # What it prints on stdout is the directory that it assembled in.
  static "$target" libcnb package --release --package-dir "$2" "${assistance[@]}" >/dev/null
}

# static TARGET SUBCOMMAND ARGUMENT…: runs a subcommand of cargo that builds static programs for TARGET.
static() {
  local target=$1 subcommand=$2
  shift 2
  # musl is static by default. The flag is passed here only: as a setting for all of cargo it breaks every call without --target.
  [[ $target == *-musl ]] || local -x RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static"
  cargo "$subcommand" "$@" --target "$target"
}

# print_help: prints the comment block at the head of the running script, without its marks.
print_help() {
  sed -n '2,/^[^#]/ { s/^# \{0,1\}//p }' "$SELF"
}
