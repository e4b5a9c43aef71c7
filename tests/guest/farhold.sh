# Shell functions of tests whose guest runs farhold.c on memory nodes: included behind lib.sh and use_tap, in "$dir".
# shellcheck shell=sh disable=SC2034,SC2154 # others' variables

node() { # ADDRESS OPTIONS...: starts one there, with $node_words; $node is its process
    node_at=$1
    shift
    # shellcheck disable=SC2086 # lists of words
    $client "$WHERRY" memnode --listen "$node_at" --drain 0 $node_words "$@" >"node-$node_at" 2>&1 </dev/null &
    node=$!
    guests="$guests $node"
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        grep -q listening "node-$node_at" && return 0
        sleep 0.1
    done
    diag "$(cat "node-$node_at")"
    return 1
}

kill_hard() { # PROCESS
    kill -9 "$1"
    wait "$1" 2>/dev/null
}

# tell COMMAND: the program's answer, in the file "answer".
tell() {
    # shellcheck disable=SC2016,SC2086 # perl's variables; a prefix of words
    timeout 8 $client perl -MIO::Socket::INET -e '
        $s = IO::Socket::INET->new(PeerAddr => $ARGV[0], PeerPort => 7000, Timeout => 5) or exit 1;
        print $s "$ARGV[1]\n";
        print while <$s>;' "$host" "$1" >answer 2>&1
}

# value FILE NAME: what the guest's file says of it. An answer without an end may miss the rest.
value() {
    tell "$1" && awk -v name="$2" '$1 == name { print $2 }' answer
}

of_node() { # NAME ADDRESS
    value /proc/wherry/nodes "wherry_node_$1{node=\"$2\"$3}"
}

until_true() { # SECONDS COMMAND...: as wait_for, for functions
    until_end=$(($(date +%s) + $1))
    shift
    while [ "$(date +%s)" -le $until_end ]; do
        "$@" && return 0
        alive || return 1
        sleep 0.1
    done
    return 1
}

# Pages are verified: it goes on.
goes_on() {
    before=$(value pages pages)
    sleep "${1:-1}"
    after=$(value pages pages)
    [ "${after:-0}" -gt "${before:-0}" ]
}
