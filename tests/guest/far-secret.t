#!/bin/sh
# Proves what verify=encrypt promises: a text that a program has in pages which are away is found in the memory node's
# memory without it, and is not with it, by either cipher, while the pages are there and come back as they were; without
# random numbers for a key, and without the instructions of a cipher that was asked for, the guest does not start. 10 s.
# limit: 120
# shellcheck disable=SC1091,SC2154 # lib.sh's variables
. "$(dirname "$0")/lib.sh"
need gcc perl
pages=512
cd "$dir" || exit 1
passes "the test program compiles" gcc -O1 -Wall -Wextra -Werror -static -o farsecret "$top/tests/guest/farsecret.c"

node() { # starts one, whose memory is a file
    rm -f node memory
    "$WHERRY" memnode --region far=16M,file="$dir/memory" --netdev "stream:$dir/node" --drain 0 >node.log 2>&1 </dev/null &
    node=$!
    guests="$guests $node"
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        [ -S node ] && return 0
        sleep 0.1
    done
    diag "$(cat node.log)"
    return 1
}

# seen: how many of the file's pages hold something, and in how many the text is seen, also in part.
seen() {
    perl -e '
        open F, "<:raw", $ARGV[0] or die; $/ = \4096;
        while (<F>) { $used++ if /[^\0]/; $text++ if /SECRET|PAGE|LINE|VERSION/ }
        printf "%d %d\n", $used, $text;' memory
}

# planted NAME VERIFY CIPHER [WORDS [CPU]]: a guest of which all pages are away, and have been back; $text pages are seen.
planted() {
    node
    serve "" --net none -m 128M --far "unix:$dir/node,size=8M,verify=$2" --append "${4:-quiet}" --cpu "${5:-max}" \
        ./farsecret -- $pages
    wait_for 20 grep -qaE "pages are away, cipher: .*($3)" "$console" && ! grep -qa WRONG "$console"
    ok $? "$1: a program's memory is away by $3, after it has come back as it was"
    # shellcheck disable=SC2046 # two words
    set -- $(seen)
    used=$1
    text=$2
    diag "$used pages there, $text with its text"
    [ "$used" -ge $pages ]
    ok $? "... and lies on the node"
    stop
    stop_process $node
}

unreadable() {
    [ "$text" -eq 0 ]
    ok $? "... where the text cannot be read"
}

planted "checked" checksum none
[ "$text" -ge $pages ]
ok $? "... where the text can be read: so this test would see it"
planted "encrypted" encrypt "aes128|chacha20"
unreadable
planted "encrypted by AES" encrypt aes128 wherry.far.cipher=aes128
unreadable
planted "encrypted on a CPU without AES" encrypt chacha20 quiet qemu64
unreadable

secret="wherry.far=ram:16M wherry.far.verify=encrypt"
w --cpu qemu64 --vmm-arg -global --vmm-arg virtio-rng-device.max-bytes=1 --append "$secret" ./farsecret -- 16
[ "$status" -ne 0 ] && grep -qa 'no key for far memory' out
ok $? "no random numbers for a key: refused, and the console says so"
w --cpu qemu64 --append "$secret wherry.far.cipher=aes128" ./farsecret -- 16
[ "$status" -ne 0 ] && grep -qa 'this CPU has no instructions for wherry.far.cipher=aes128' out
ok $? "AES on a CPU without it: refused"
finish
