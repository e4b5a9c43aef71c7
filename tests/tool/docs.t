#!/bin/sh
# Proves that docs/linux-abi.md is what make docs writes, and that make help lists the targets
# which the README names.
top=$(cd "$(dirname "$0")/../.." && pwd)
cd "$top" || exit 1
failed=0
ok() {
    [ "$1" -eq 0 ] && echo "ok $2" || { echo "not ok $2" && failed=1; }
}
echo 1..2
scripts/mkabi | cmp - docs/linux-abi.md >&2
ok $? "1 - docs/linux-abi.md is up to date (make docs)"
help=$(make -s help)
missing=
for target in $(grep -ohE '`make [a-z-]+' README.md docs/*.md CAVEATS.md | sed 's/`make //' | sort -u); do
    echo "$help" | grep -q "^$target " || missing="$missing $target"
done
[ -z "$missing" ] || echo "# not in make help:$missing"
[ -z "$missing" ]
ok $? "2 - make help has every target that the documents name"
exit $failed
