#!/bin/sh
# Proves that Debian's nginx serves files with sendfile and keep-alive, takes uploads, stands wrk
# without a socket error, over IPv4 and IPv6.
# limit: 150
# shellcheck disable=SC1091,SC2154 # lib.sh's variables
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/web.sh"
need nginx curl wrk
PATH=$PATH:/usr/sbin

use_tap
make_site
mkdir -p "$dir/var"
: >"$dir/var/keep"
cat >"$dir/nginx.conf" <<'C'
daemon off;
master_process off;
user root;
error_log stderr warn;
pid /var/nginx.pid;
events { worker_connections 1024; }
http {
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000;
    client_max_body_size 128m;
    client_body_temp_path /var/body;
    proxy_temp_path /var/proxy;
    fastcgi_temp_path /var/fastcgi;
    uwsgi_temp_path /var/uwsgi;
    scgi_temp_path /var/scgi;
    server {
        listen 80;
        listen [::]:80;
        root /site;
        location /put/ {
            client_body_in_file_only on;
            proxy_pass http://127.0.0.1:80/length;
            proxy_set_header X-File $request_body_file;
        }
        location /length { return 200 "$content_length\n"; }
    }
}
C
serve 80 -m 512M -v "$dir/site:/site" -v "$dir/var:/var" -v "$dir/nginx.conf:/etc/nginx.conf" \
    "$(command -v nginx)" -- -c /etc/nginx.conf
# shellcheck disable=SC2086 # a prefix of words
wait_for 40 $client curl -sS -m 3 "http://$host:$port/index.html"
ok $? "nginx boots"
try_site
[ "$(get /put/x --data-binary "@$dir/site/large.bin" -w '%{stderr}# %{speed_upload} B/s up\n' \
    2>"$dir/out")" = 67108864 ]
ok $? "64 MiB are uploaded, and go through a connection to itself"
sed -n 's/^# /# /p' "$dir/out"
healthy "nothing to complain of"
finish
