"""churn.py HOST PORT SECONDS: connections to a redis-server that end in every way, one after the
other, about 200 held at a time. Exits with 1 if the server misbehaves."""
import random
import socket
import struct
import sys
import time

host, port, end = sys.argv[1], int(sys.argv[2]), time.monotonic() + float(sys.argv[3])
held, count = [], 0
RESET = struct.pack("ii", 1, 0)
while time.monotonic() < end:
    s = socket.create_connection((host, port), 20)
    way = count % 6
    count += 1
    if way == 1:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    elif way == 2:
        s.shutdown(socket.SHUT_WR)
        assert s.recv(10) == b""
    elif way == 3:
        s.sendall(b"*2\r\n$3\r\nGET\r\n$1")
    elif way == 4:
        s.sendall(b"PING\r\n" * 100)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    elif way == 5:
        s.sendall(b"PING\r\n")
        assert s.recv(7) == b"+PONG\r\n"
        held.append(s)
        if len(held) > 200:
            held.pop(random.randrange(200)).close()
        continue
    s.close()
print(count, "connections")
