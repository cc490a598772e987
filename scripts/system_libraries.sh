#!/bin/sh
# Install the system libraries of a napari window (Debian and its relatives).
#
# Silent when nothing is missing, and on systems without apt-get, where a desktop
# brings them. Never fails: all but the window works without them.
set -eu
command -v apt-get >/dev/null || exit 0
PATH="$PATH:/usr/sbin:/sbin" # where Debian keeps ldconfig, for users too

present=$(ldconfig -p)
missing=""

require() { # require PACKAGE LIBRARY (file names stay, package names change)
    case "$present" in *"$2 "*) ;; *) missing="$missing $1" ;; esac
}

command -v Xvfb >/dev/null || missing="$missing xvfb"
command -v xauth >/dev/null || missing="$missing xauth" # xvfb-run needs it
require libegl1 libEGL.so.1
require libgl1 libGL.so.1
require libglib2.0-0 libglib-2.0.so.0
require libdbus-1-3 libdbus-1.so.3
require libfontconfig1 libfontconfig.so.1
require libxcb-cursor0 libxcb-cursor.so.0
require libxcb-icccm4 libxcb-icccm.so.4
require libxcb-keysyms1 libxcb-keysyms.so.1
require libxcb-shape0 libxcb-shape.so.0
require libxkbcommon-x11-0 libxkbcommon-x11.so.0
[ -n "$missing" ] || exit 0

install() {
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update &&
        # shellcheck disable=SC2086 # one word for each package
        apt-get -qq install -y --no-install-recommends $missing >/dev/null
}

if [ "$(id -u)" -eq 0 ]; then
    echo "Installing what a napari window needs:$missing"
    install && exit 0
fi
cat >&2 <<END
A napari window needs system libraries that are missing. To install them, run
  sudo apt-get install --no-install-recommends$missing
Everything but the window works without them.
END
