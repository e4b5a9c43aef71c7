#!/bin/sh
# Proves that busybox's applets which need no second process do the same in a guest as on this
# host: the same output and the same exit status. One guest for each applet.
# limit: 240
# shellcheck disable=SC1091,SC2016,SC2154,SC2238 # lib.sh's variables; words for applets
. "$(dirname "$0")/lib.sh"
need busybox gzip xz cpio
busybox=$(command -v busybox)
mkdir -p "$dir/d/sub"
cd "$dir/d" || exit 1

i=0
while [ $i -lt 200 ]; do
    echo "line $i with number $((i * 7919 % 1000)) and some words"
    i=$((i + 1))
done >text
tac text >reversed
head -c 100000 /dev/urandom >binary
sort text >sorted
printf 'one\ttwo\tthree\nfour\tfive\tsix\n' >tabs
printf 'a\r\nb\r\n' >dos
echo sub >sub/file
ln -s text link
gzip -c text >text.gz
bzip2 -c text >text.bz2 2>/dev/null || cp text.gz text.bz2
xz -c text >text.xz 2>/dev/null
tar cf text.tar text sorted
(echo text; echo sorted) | cpio -o -H newc >text.cpio 2>/dev/null

# same ARGS...: the same lines and the same status, here and in a guest, in copies of this
# directory, with text on standard input.
same() {
    rm -rf "$dir/h"
    cp -a "$dir/d" "$dir/h"
    (cd "$dir/h" && "$busybox" "$@") >"$dir/expected" 2>/dev/null <"$dir/d/text"
    expected=$?
    w -v "$dir/d:/d" "$busybox" -- sh -c 'cd /d && exec "$@" <text 2>/dev/null' sh "$busybox" "$@"
    tr -d '\r' <"$dir/out" >"$dir/got"
    [ "$status" -eq $expected ] || diag "status $status, on the host $expected"
    [ "$status" -eq $expected ] && cmp -s "$dir/expected" "$dir/got"
    ok $? "busybox $(echo "$*" | tr '\n#' '  ')" ||
        diff -a "$dir/expected" "$dir/got" | head -n 10 | sed 's/^/# /'
}

same cat text
same tac text
same head -n 5 text
same tail -n 5 text
same wc text binary
same sort -k5 -n text
same uniq -c sorted
same cut -d ' ' -f 2,5 text
same tr a-z A-Z
same sed -n 's/line \([0-9]*\).*/\1/p' text
same grep -n 'number 9' text
same grep -c line text
same awk '{ s += $5 } END { print NR, s }' text
same diff text reversed
same cmp binary text
same comm sorted sorted
same paste tabs tabs
same expand tabs
same unexpand -a tabs
same fold -w 20 text
same nl text
same rev text
same split -l 50 text part
same od -c tabs
same hexdump -C tabs
same xxd tabs
same strings text
same md5sum binary
same sha1sum binary
same sha256sum binary
same sha512sum binary
same sha3sum binary
same cksum binary
same crc32 binary
same sum binary
same base64 binary
same uuencode text text
same dos2unix dos
same tar tf text.tar
same gzip text
same bzip2 text
same gunzip -c text.gz
same bunzip2 -c text.bz2
same unxz -c text.xz
same cpio -t -F text.cpio
same ls -1 .
same ls -1R .
same find . -name 'sor*'
same stat -c '%n %s %f' text link
same readlink link
same test -f text
same test -d text
same basename /a/b/c.txt .txt
same dirname /a/b/c.txt
same expr 6 '*' 7
same factor 1234567890
same dc -e '2 100 ^ p'
same seq 1 3 40
same printf '%05d %s\n' 42 x
same echo -e 'a\tb'
same true
same false
same date -u -d @1000000000
same cal 9 2001
same touch new
same mkdir -p x/y/z
same rm -rf none
same mkfifo fifo
same mktemp -u -t fixed
same id -u
same env -i A=b
same sleep 0.1
same usleep 1000
same tty
same logname
same fsync text
same sync
same truncate -s 10 cut
same dd if=text bs=100 count=3
same tee tee
same install text installed
same cp -a sub copy
same mv none other
same ln -s text link2
same chmod 600 text
same getopt ab: -a -b c
same which busybox-none
same yes --help
same sh -c 'x=0; while [ $x -lt 1000 ]; do x=$((x + 1)); done; echo $x; exit 9'
same ash -c 'read -r a <text; echo "$a"; set -- *; echo $#; exit 4'
same arch
finish
