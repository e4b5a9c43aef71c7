. /work/b-proj/env
. /work/main/tests/guest/lib.sh
use_tap
serve "6379" -m 2G redis-server -- --save '' --protected-mode no --enable-debug-command yes --enable-protected-configs yes --appendonly yes --auto-aof-rewrite-percentage 0
wait_for 30 $client redis-cli -h "$host" -p "$port" ping
cp -r /work/b-proj/src/redis $dir/redis; cd $dir/redis
(timeout 200 $client tclsh tests/test_helper.tcl --host $host --port $port --singledb --durable --timeout 150 --single unit/other --only "PIPELINING stresser (also a regression for the old epoll bug)" > /tmp/one.log 2>&1; echo end >> /tmp/one.log) &
sleep 20
client ss -tnoi | head -20
client redis-cli -h "$host" -p "$port" client list
client redis-cli -h "$host" -p "$port" info commandstats | grep -E "set|get"
sleep 5
client redis-cli -h "$host" -p "$port" info commandstats | grep -E "set|get"
top -b -n1 | head -12
wait
