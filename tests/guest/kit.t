#!/bin/sh
# Proves that what a project begins with works: the template, copied out of the tree, builds, boots,
# answers and tests itself; the smallest image is small and needs little memory; images hold no part of
# the kernel that they do not use; and that the guest tells what it negotiated with each device.
# limit: 120
# shellcheck disable=SC1091,SC2034,SC2154 # lib.sh's variables
. "$(dirname "$0")/lib.sh"
need gcc perl nm make busybox
[ -f "$WHERRY_B/native/config" ] || plan_skip "there is no $WHERRY_B/native/config (make apps)"
bb=$(command -v busybox)
PORT=$(free_port)
export PORT

cp -r "$top/apps/template" "$dir/project"
cd "$dir/project" || exit 1
passes "a copy of the template builds" make WHERRY="$WHERRY"
[ -x service ] && [ -f service.elf ]
ok $? "... an image, with its symbols beside it"
passes "... boots, answers, and passes its own test" make WHERRY="$WHERRY" test
contains "... which asked for all it knows" "ok: nonsense: what?"
sed -i 's/"what?"/"who?"/' main.c
! make WHERRY="$WHERRY" test >"$dir/out" 2>&1 </dev/null
ok $? "its test fails when the program is wrong"
contains "... and says where" "wrong: nonsense: who?"
! make WHERRY=/nowhere/wherry clean all >"$dir/out" 2>&1
ok $? "without Wherry make fails"
contains "... and says what is missing" "There is no /nowhere/wherry"
cd "$dir" || exit 1
serve 7777/udp "$WHERRY_B/apps/hello"
wait "$guest" 2>/dev/null
ok $? "the smallest image ends by itself, with a network too"
guests='' # it is gone already

hello=$WHERRY_B/apps/hello
ends_with 0 "the smallest image boots in 2 MiB" -m 2M "$hello" -- you
contains "... and says hello" "hello, you"
MACHINES=microvm WHERRY=$WHERRY "$top/scripts/least-memory" "$hello" >least 2>&1
cp least out
[ "$(awk '$2 <= 1536 && /KiB of memory/' least | wc -l)" -eq 2 ]
ok $? "... and would in 1.5, with a network card or without"
[ "$(stat -c %s "$hello")" -le 131072 ]
ok $? "its file is below 128 KiB"
for image in hello udpecho-raw udpkv-raw; do
    "$top/scripts/image-size" --names "$WHERRY_B/apps/$image" >names
    grep -qx kernel/mm names && ! grep -E '^(kernel/(linux|fs)|lwip|zlib|zstd)$' names >out
    ok $? "there is no Linux, no file and no TCP in $image"
    ! nm "$WHERRY_B/apps/$image.elf" | grep -iE ' (tcp|lwip|sys|inet|vfs|unix)_' >out
    ok $? "... nor a function of theirs by name"
done
"$top/scripts/image-size" "$WHERRY_B/wherry" >out
grep -q ' kernel/linux$' out && grep -q ' lwip$' out
ok $? "... and there is in the whole kernel"
awk 'NR > 2 { for (i = 1; i <= 4; i++) { v[i] = substr($0, (i - 1) * 9 + 1, 8) + 0; bad += v[i] < 0 } }
    / texts, padding$/ { for (i = 1; i <= 4; i++) rest[i] = v[i] }
    / all$/ { for (i = 1; i <= 4; i++) bad += v[i] != sum[i] || rest[i] * 4 > v[i] }
    { for (i = 1; i <= 4; i++) sum[i] += v[i] } END { exit bad > 0 }' out
ok $? "the parts add up to the sections, of which most has an owner"

w -m 2M -v /etc:/etc "$hello"
[ "$status" -eq 125 ] && grep -q 'has no root file system' out
ok $? "files for an image that has no file system are refused"
printf '#include <wherry/app.h>\nchar big[3 << 20];\nint main(void) { wherry_print("%%p", big); return 0; }\n' >big.c
"$WHERRY" cc big.c >out 2>&1
w -m 4M ./big
[ "$status" -eq 125 ] && grep -q '^wherry: .*/big does not fit .* at least -m 5M' out
ok $? "an image that does not fit is told what it needs"
ends_with 0 "... and that suffices" -m 5M ./big

w "$hello"
! grep virtio out
ok $? "the guest keeps to itself what it negotiates"
# MACHINE DEVICE PACKED RINGS WIDTH
while read -r machine device packed rings width; do
    LIMIT=30 w --verbose --machine "$machine" --net user --vmm-arg -global --vmm-arg "$device.packed=$packed" \
        "$bb" -- grep -r . /sys/bus/virtio/devices
    tr -d '\r' <out >plain
    text=$(grep '^virtio[0-9]: net at ' plain)
    case $text in
    *"; $rings rings 0:"[0-9]*" 1:"[0-9]*"; notified by $width bytes; uses "*" event_idx "*version_1*"; leaves "*) true ;;
    *) false ;;
    esac
    ok $? "$machine, packed=$packed: with --verbose it is told, a line for the network card"
    [ "$(grep -c '^virtio[0-9]: rng at ' plain)" -eq 1 ]
    ok $? "... and one for the entropy device"
    # /sys has the bits of the same names: of both, packed (34) and the host's segmentation (11).
    card=$(sed -n 's,^\(/sys/.*\)/device:0x0001$,\1,p' plain)
    bits=$(sed -n "s,^$card/features:\\([01]*\\)\$,\\1,p" plain)
    for word in csum:0 mac:5 tso4:11 mrg_rxbuf:15 ctrl_vq:17 indirect_desc:28 event_idx:29 version_1:32 packed:34; do
        one=0
        case "${text%;*} " in *" ${word%:*} "*) one=1 ;; esac
        [ "$(printf %s "$bits" | cut -c $((${word#*:} + 1)))" = $one ] || bits="$bits wrong in $word"
    done
    [ ${#bits} -eq 64 ] || diag "$bits"
    [ ${#bits} -eq 64 ]
    ok $? "... and /sys shows the same, as Linux does"
done <<'L'
microvm virtio-net-device off split 4
microvm virtio-net-device on packed 4
q35 virtio-net-pci off split 2
q35 virtio-net-pci on packed 2
L
finish
