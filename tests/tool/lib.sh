# Shell helpers of the host tool's tests: TAP on stdout, one directory that goes away at the end.
# Sourced. WHERRY is the program under test.
top=$(cd "$(dirname "$0")/../.." && pwd)
WHERRY=${WHERRY:-$top/build/bin/wherry}
[ -x "$WHERRY" ] || {
    echo "1..0 # skip there is no $WHERRY"
    exit 0
}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
nr=0
failed=0

ok() { # STATUS NAME
    nr=$((nr + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $nr - $2"
    else
        echo "not ok $nr - $2"
        sed 's/^/# /' "$dir/out" "$dir/err" 2>/dev/null
        failed=1
    fi
}

skip() { # NAME REASON
    nr=$((nr + 1))
    echo "ok $nr - $1 # skip $2"
}

# Runs the tool with a time limit; $status, $dir/out and $dir/err are what it left.
w() {
    status=0
    timeout -k 5 "${LIMIT:-20}" "$WHERRY" "$@" >"$dir/out" 2>"$dir/err" </dev/null || status=$?
}

# One clear line that holds TEXT, nothing else, and the tool's own exit status.
refuses() { # NAME TEXT ARGS...
    name=$1
    text=$2
    shift 2
    w "$@"
    [ "$status" -eq 125 ] && [ "$(wc -l <"$dir/err")" -eq 1 ] && [ ! -s "$dir/out" ] &&
        grep -q '^wherry: ' "$dir/err" && grep -qF -- "$text" "$dir/err"
    ok $? "$name"
}

prints() { # NAME TEXT: the last run succeeded and printed TEXT
    [ "$status" -eq 0 ] && grep -qF -- "$2" "$dir/out"
    ok $? "$1"
}

finish() {
    echo "1..$nr"
    exit $failed
}
