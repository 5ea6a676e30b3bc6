#!/usr/bin/env bash
# Install the browser in which the page is tested: Debian's chromium, and a font. Needs root, or sudo without
# a password; elsewhere those tests are skipped, and say so.
set -euo pipefail

for name in chromium chromium-browser google-chrome; do
  if command -v "$name" > /dev/null; then exit 0; fi
done

packages="chromium fonts-dejavu-core"
as_root=""
if [ "$(id -u)" != 0 ]; then
  as_root="sudo -n"
fi
if ! command -v apt-get > /dev/null || { [ -n "$as_root" ] && ! $as_root true 2> /dev/null; }; then
  echo "No browser: the tests of the page will be skipped. Install one: apt-get install $packages" >&2
  exit 0
fi
echo "Installing $packages with apt-get, for the tests of the page (about 400 MB on the disk) ..." >&2
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq > /dev/null || true
$as_root apt-get install -qq -y --no-install-recommends $packages > /dev/null ||
  echo "apt-get failed: the tests of the page will be skipped." >&2
