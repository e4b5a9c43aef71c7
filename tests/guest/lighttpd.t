#!/bin/sh
# Proves that Debian's lighttpd serves files and keep-alive, and stands wrk without a socket error.
# limit: 150
# shellcheck disable=SC1091,SC2154 # lib.sh's variables
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/web.sh"
PATH=$PATH:/usr/sbin
need lighttpd curl wrk

use_tap
make_site
mkdir -p "$dir/up"
: >"$dir/up/keep"
cat >"$dir/lighttpd.conf" <<'C'
server.document-root = "/site"
server.port = 80
server.upload-dirs = ( "/up" )
server.max-connections = 1000
server.max-fds = 4096
server.max-keep-alive-requests = 1000000
index-file.names = ( "index.html" )
mimetype.assign = ( ".html" => "text/html", ".txt" => "text/plain" )
C
serve 80 -m 512M -v "$dir/site:/site" -v "$dir/up:/up" -v "$dir/lighttpd.conf:/etc/l.conf" \
    -v /usr/lib/lighttpd:/usr/lib/lighttpd \
    "$(command -v lighttpd)" -- -D -f /etc/l.conf
# shellcheck disable=SC2086 # a prefix of words
wait_for 40 $client curl -sS -m 3 "http://$host:$port/index.html"
ok $? "lighttpd boots"
try_site
healthy "nothing to complain of"
finish
