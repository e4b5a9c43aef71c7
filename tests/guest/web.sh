# What is asked of any web server. Sourced by nginx.t and lighttpd.t, behind lib.sh; the server has
# $dir/site as its documents, of which make_site makes them.
# shellcheck shell=sh disable=SC2034,SC2154 # variables of lib.sh and for it

make_site() {
    mkdir -p "$dir/site/sub"
    printf 'hello, web\n' >"$dir/site/index.html"
    head -c 612 /dev/zero | tr '\0' x >"$dir/site/small.html"
    head -c 67108864 /dev/urandom >"$dir/site/large.bin"
    printf 'below\n' >"$dir/site/sub/file.txt"
    large_sum=$(md5sum <"$dir/site/large.bin" | cut -d' ' -f1)
}

get() { # PATH ARGS...: curl
    get_path=$1
    shift
    # shellcheck disable=SC2086 # a prefix of words
    timeout 60 $client curl -sS -m 50 "$@" "http://$host:$port$get_path"
}

try_site() {
    [ "$(get /index.html 2>"$dir/out")" = "hello, web" ]
    ok $? "a file"
    [ "$(get /sub/file.txt 2>"$dir/out")" = below ]
    ok $? "a file in a directory"
    [ "$(get /none -o /dev/null -w '%{http_code}' 2>"$dir/out")" = 404 ]
    ok $? "a missing file is 404"
    [ "$(get /small.html -r 100-149 2>"$dir/out" | wc -c)" -eq 50 ]
    ok $? "a range"
    [ "$(get /index.html -I 2>"$dir/out" | tr -d '\r' | sed -n 's/^[Cc]ontent-[Ll]ength: //p')" = 11 ]
    ok $? "HEAD"
    # shellcheck disable=SC2086
    $client curl -sS -m 50 -o /dev/null -w '%{num_connects}\n' "http://$host:$port/index.html" \
        -o /dev/null "http://$host:$port/small.html" >"$dir/out" 2>&1
    [ "$(tr '\n' ' ' <"$dir/out")" = "1 0 " ]
    ok $? "keep-alive: two requests on one connection"
    [ "$(get /large.bin 2>"$dir/out" | md5sum | cut -d' ' -f1)" = "$large_sum" ]
    ok $? "64 MiB arrive unchanged"
    get /large.bin -o /dev/null -w '%{speed_download}' | awk '{ printf "# %.1f MB/s down\n", $1 / 1e6 }'
    [ "$(get /large.bin -r 66000000- 2>"$dir/out" | md5sum)" = \
        "$(tail -c +66000001 "$dir/site/large.bin" | md5sum)" ]
    ok $? "a range of a large file"

    # A reader that goes away in the middle harms nobody.
    for _ in 1 2 3 4 5; do
        get /large.bin 2>/dev/null | head -c 100000 >/dev/null
    done
    [ "$(get /index.html 2>"$dir/out")" = "hello, web" ]
    ok $? "service goes on after broken downloads"

    try_wrk "keep-alive" -c 30
    try_wrk "a connection for each request" -c 10 -H 'Connection: close'
    try_wrk "300 connections" -c 300
}

try_wrk() { # NAME ARGS...: no socket errors, no bad answers
    try_name=$1
    shift
    # shellcheck disable=SC2086
    timeout 30 $client wrk -t 1 -d 3s --timeout 5s "$@" "http://$host:$port/small.html" >"$dir/out" 2>&1 &&
        grep -q 'Requests/sec' "$dir/out" && ! grep -q 'Socket errors\|Non-2xx' "$dir/out" &&
        ! grep -q '^ *0 requests' "$dir/out"
    ok $? "wrk, $try_name: no errors"
    sed -n 's/^Requests/# Requests/p' "$dir/out"
}
